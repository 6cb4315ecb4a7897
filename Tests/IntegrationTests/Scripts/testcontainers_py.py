"""testcontainers against the engine in DOCKER_HOST, without its helper container (there is no image of it here)."""
import os

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
os.environ["TESTCONTAINERS_HOST_OVERRIDE"] = "127.0.0.1"

import urllib.request

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs

with Network() as network:
    server = DockerContainer("busybox").with_exposed_ports(80).with_network(network).with_network_aliases("web")
    server = server.with_command("sh -c 'mkdir /www; echo page >/www/index.html; echo ready; httpd -f -h /www'")
    with server:
        wait_for_logs(server, "ready", timeout=10)
        url = "http://127.0.0.1:%s/" % server.get_exposed_port(80)
        for attempt in range(50):
            try:
                assert urllib.request.urlopen(url, timeout=5).read() == b"page\n"
                break
            except OSError:
                if attempt == 49:
                    raise
        assert server.exec("cat /www/index.html").output == b"page\n"
        with DockerContainer("busybox").with_network(network).with_command("wget -qO- http://web/") as client:
            wait_for_logs(client, "page", timeout=10)
print("testcontainers: all right")
