import Testing

extension Integration {
    /// Networks, names, published ports.
    @Suite(.serialized) struct NetworkTests {
        private let get = "timeout 3 busybox wget -qO-"

        @Test func publishedPorts() async throws {
            try await Session.run { t in
                try await t.sh("$SUPPORT/web.sh ${N}a -p 127.0.0.1::80 -p 0:80 -p 0:53/udp")
                try await t.sh(
                    "docker port ${N}a | sort", has: "53/udp -> 0.0.0.0:", "80/tcp -> 0.0.0.0:", "80/tcp -> 127.0.0.1:")
                // On loopback, on the host's other address, and from the container itself (hairpin).
                try await t.sh(
                    "\(get) http://127.0.0.1:$(docker port ${N}a 80 | sed -n 's/127.0.0.1://p')/name", has: "")
                try await t.sh(
                    "\(get) http://$SUBNET.${BRIDGEHOST}:$(docker port ${N}a 80 | sed -n 's/0.0.0.0://p')/name | wc -l",
                    prints: "1")
                try await t.sh(
                    "docker exec ${N}a timeout 3 wget -qO- http://$SUBNET.${BRIDGEHOST}:$(docker port ${N}a 80 | sed -n 's/0.0.0.0://p')/name | wc -l",
                    prints: "1")
                try await t.sh(
                    "$SUPPORT/web.sh ${N}b; docker exec ${N}b timeout 3 wget -qO- http://$SUBNET.${BRIDGEHOST}:$(docker port ${N}a 80 | sed -n 's/0.0.0.0://p')/name | wc -l",
                    prints: "1")
                // The loopback one is reachable on loopback only.
                try await t.fails(
                    "\(get) http://$SUBNET.${BRIDGEHOST}:$(docker port ${N}a 80 | sed -n 's/127.0.0.1://p')/name", 1, ""
                )
                // A port can be published once.
                try await t.fails(
                    "docker run --rm -p 127.0.0.1:$(docker port ${N}a 80 | sed -n 's/127.0.0.1://p'):80 busybox true",
                    125, "port is already allocated")
                // It goes with the container, and comes back with it.
                try await t.sh(
                    "p=$(docker port ${N}a 80 | sed -n 's/0.0.0.0://p'); docker stop -t 0 ${N}a >/dev/null; \(get) http://$SUBNET.${BRIDGEHOST}:$p/name || echo gone",
                    prints: "gone")
                try await t.sh(
                    "docker start ${N}a >/dev/null; sleep 0.5; \(get) http://127.0.0.1:$(docker port ${N}a 80 | sed -n 's/127.0.0.1://p')/name | wc -l",
                    prints: "1")
            }
        }

        @Test func portRanges() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run -d --name ${N}a -p 127.0.0.1:18431-18432:80 busybox sleep 1000 >/dev/null; docker port ${N}a 80",
                    prints: "127.0.0.1:18431")
                try await t.sh(
                    "docker run -d --name ${N}b -p 127.0.0.1:18431-18432:80 busybox sleep 1000 >/dev/null; docker port ${N}b 80; docker inspect -f '{{(index (index .HostConfig.PortBindings \"80/tcp\") 0).HostPort}}' ${N}b",
                    prints: "127.0.0.1:18432\n18431-18432")
                try await t.fails(
                    "docker run --rm -p 127.0.0.1:18431-18432:80 busybox true", 125, "all ports are allocated")
                try await t.fails("docker create -p 18431-18432:80-82 busybox true", 125, "invalid ranges")
            }
        }

        @Test func udp() async throws {
            try await Session.run { t in
                try await t.sh(
                    """
                    docker run -d --name ${N}a -p 0:53/udp busybox sleep 1000 >/dev/null
                    nsenter -t $(docker inspect -f '{{.State.Pid}}' ${N}a) -n $SUPPORT/datagram.py serve 53 >got &
                    while ! grep -q up got; do sleep 0.05; done
                    $SUPPORT/datagram.py send $SUBNET.$BRIDGEHOST $(docker port ${N}a 53/udp | cut -d: -f2)
                    wait; tail -n 1 got
                    """, prints: "answer\ndatagram")
            }
        }

        @Test func clientAddressIsKept() async throws {
            try await Session.run { t in
                try await t.sh(
                    """
                    $SUPPORT/web.sh ${N}a -p 0:80
                    port=$(docker port ${N}a 80 | cut -d: -f2)
                    ip netns add it$$; trap 'ip netns del it$$; ip link del it$$h 2>/dev/null' EXIT
                    ip link add it$$h type veth peer name eth0 netns it$$
                    ip addr add 198.18.7.1/30 dev it$$h; ip link set it$$h up
                    ip -n it$$ addr add 198.18.7.2/30 dev eth0; ip -n it$$ link set eth0 up
                    ip netns exec it$$ \(get) http://198.18.7.1:$port/cgi-bin/a
                    """, has: "198.18.7.2")
            }
        }

        @Test func modes() async throws {
            try await Session.run { t in
                try await t.sh("docker run --rm --network none busybox sh -c 'ip -o link | wc -l'", prints: "1")
                try await t.sh(
                    "docker run --rm --network host busybox ip link show $BRIDGE | grep -c $BRIDGE", prints: "1")
                try await t.sh(
                    "$SUPPORT/web.sh ${N}a --hostname shared; docker run --rm --network container:${N}a busybox wget -qO- http://127.0.0.1/name",
                    prints: "shared")
                try await t.fails(
                    "docker run --rm --network container:nosuch busybox true", 125, "No such container: nosuch")
                try await t.fails("docker run --rm --network nosuch busybox true", 125, "network nosuch not found")
                try await t.sh(
                    "docker run --rm --add-host a.b:1.2.3.4 --add-host h:host-gateway busybox grep -E 'a.b|h$' /etc/hosts",
                    has: "1.2.3.4\ta.b", "\th")
                try await t.sh(
                    "docker run --rm --dns 192.0.2.9 --dns-search x.y --dns-option ndots:3 busybox cat /etc/resolv.conf",
                    prints: "nameserver 192.0.2.9\nsearch x.y\noptions ndots:3")
                try await t.sh(
                    "docker run --rm --mac-address 02:42:00:00:00:09 busybox cat /sys/class/net/eth0/address",
                    prints: "02:42:00:00:00:09")
            }
        }

        @Test func userNetworks() async throws {
            try await Session.run { t in
                let octet = "$(($(echo $N | tr -d t) % 250))"
                try await t.sh(
                    "docker network create --subnet 10.50.\(octet).0/24 --gateway 10.50.\(octet).7 --label l=m --opt com.docker.network.bridge.name=x${N}b ${N}n | wc -c",
                    prints: "65")
                try await t.sh(
                    "docker network inspect -f '{{.Driver}} {{(index .IPAM.Config 0).Gateway}} {{.Labels.l}} {{.Internal}}' ${N}n",
                    has: "bridge 10.50.", ".7 m false")
                try await t.sh(
                    "docker network ls --filter name=${N}n --filter driver=bridge --filter label=l --format '{{.Name}} {{.Scope}}'",
                    prints: "\(t.name)n local")
                try await t.sh(
                    "$SUPPORT/web.sh ${N}a --network ${N}n --ip 10.50.\(octet).20 --network-alias web --network-alias www"
                )
                try await t.sh(
                    "docker run --rm --network ${N}n busybox sh -c 'wget -qO- http://${N}a/name; wget -qO- http://web/name; wget -qO- http://www/name; nslookup ${N}a | tail -n 3'"
                        .replacing("${N}a/", with: "'${N}a'/").replacing("nslookup ${N}a", with: "nslookup '${N}a'"),
                    has: "10.50.")
                try await t.sh(
                    "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}} {{.IPPrefixLen}}{{end}}' ${N}a",
                    has: ".20 10.50.", ".7 24")
                try await t.sh(
                    "docker network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' ${N}n",
                    has: "\(t.name)a 10.50.", ".20/24")
                // Not from another network. (Debian's static busybox may crash when its wget times out.)
                try await t.fails(
                    "docker run --rm --init busybox timeout -s KILL 2 wget -qO- http://10.50.\(octet).20/name", 137, "")
                try await t.fails("docker network rm ${N}n", 1, "has active endpoints")
                try await t.fails("docker network create ${N}n", 1, "already exists")
                try await t.fails("docker network create --subnet 10.50.\(octet).0/24 ${N}m", 1, "Pool overlaps")
                try await t.fails(
                    "docker run --rm --network ${N}n --ip 10.50.\(octet).20 busybox true", 125, "Address already in use"
                )
                try await t.sh(
                    "docker rm -f ${N}a; docker network rm ${N}n; ip link show x${N}b 2>/dev/null || echo gone",
                    has: "gone")
                try await t.fails("docker network inspect ${N}n", 1, "network \(t.name)n not found")
                try await t.fails(
                    "docker network rm bridge", 1, "bridge is a pre-defined network and cannot be removed")
            }
        }

        @Test func aRestartKeepsTheAddress() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker network create ${N}n; docker run -d --name ${N}a --network ${N}n busybox sleep 1000")
                let address = "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' ${N}a"
                try await t.sh(
                    "a=$(\(address)); docker restart -t 0 ${N}a >/dev/null; [ -n \"$a\" ] && [ \"$a\" = \"$(\(address))\" ] && echo kept",
                    prints: "kept")
                // Another's by now: a new one.
                try await t.sh(
                    "a=$(\(address)); docker stop -t 0 ${N}a >/dev/null; docker run -d --name ${N}b --network ${N}n --ip $a busybox sleep 1000 >/dev/null; docker start ${N}a >/dev/null; [ \"$a\" != \"$(\(address))\" ] && echo moved",
                    prints: "moved")
            }
        }

        @Test func connectAndDisconnect() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker network create ${N}n; docker network create ${N}m; $SUPPORT/web.sh ${N}a --network ${N}n")
                try await t.sh("docker run -d --name ${N}b --network ${N}m busybox sleep 1000")
                try await t.fails("docker exec ${N}b timeout 2 wget -qO- http://${N}a/name", 1, "")
                try await t.sh(
                    "docker network connect --alias late ${N}m ${N}a; docker exec ${N}b timeout 3 wget -qO- http://late/name | wc -l",
                    prints: "1")
                try await t.sh("docker exec ${N}a ip -o -4 addr | grep -c eth", prints: "2")
                try await t.sh(
                    "docker network disconnect ${N}m ${N}a; docker exec ${N}a ip -o -4 addr | grep -c eth; docker exec ${N}b timeout 2 wget -qO- http://late/name 2>/dev/null || echo gone",
                    prints: "1\ngone")
                // A stopped container keeps its connections, and a disconnect while it is stopped holds.
                try await t.sh(
                    "docker network connect ${N}m ${N}a; docker stop -t 0 ${N}a >/dev/null; docker start ${N}a >/dev/null; docker exec ${N}a ip -o -4 addr | grep -c eth",
                    prints: "2")
                try await t.sh(
                    "docker stop -t 0 ${N}a >/dev/null; docker network disconnect ${N}m ${N}a; docker start ${N}a >/dev/null; docker exec ${N}a ip -o -4 addr | grep -c eth",
                    prints: "1")
                try await t.fails("docker network disconnect ${N}m ${N}a", 1, "is not connected")
                try await t.fails("docker network connect nosuch ${N}a", 1, "network nosuch not found")
                try await t.sh(
                    "docker network disconnect -f ${N}n ${N}a; docker exec ${N}a ip -o link | wc -l", prints: "1")
            }
        }

        @Test func names() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker network create ${N}n; docker run -d --name ${N}a --network ${N}n busybox sleep 1000; docker run -d --name ${N}b --network ${N}n --network-alias both busybox sleep 1000; docker run -d --name ${N}c --network ${N}n --network-alias both busybox sleep 1000"
                )
                try await t.sh("docker exec ${N}a ping -c 1 -W 2 ${N}b", has: "1 packets received")
                try await t.sh(
                    "docker exec ${N}a nslookup both 2>/dev/null | grep -c '^Address.* 1[0-9.]*$'", prints: "2")
                try await t.sh(
                    "docker exec ${N}a ping -c 1 -W 2 $(docker inspect -f '{{.Id}}' ${N}b | cut -c1-12)",
                    has: "1 packets received")
                try await t.sh("docker exec ${N}a cat /etc/resolv.conf", has: "nameserver")
                try await t.sh(
                    "docker rename ${N}b ${N}z; docker exec ${N}a ping -c 1 -W 2 ${N}z", has: "1 packets received")
                try await t.sh(
                    "docker rm -f ${N}z; docker exec ${N}a ping -c 1 -W 2 ${N}z 2>&1 || echo gone", has: "gone")
                // The default bridge has no names.
                try await t.sh(
                    "docker run -d --name ${N}d busybox sleep 100; docker run --rm busybox ping -c 1 -W 1 ${N}d 2>&1 || echo unknown",
                    has: "unknown")
            }
        }

        @Test func internalNetwork() async throws {
            try await Session.run { t in
                try await t.sh("docker network create --internal ${N}n; $SUPPORT/web.sh ${N}a --network ${N}n")
                try await t.sh(
                    "docker run --rm --network ${N}n busybox timeout 3 wget -qO- http://${N}a/name | wc -l", prints: "1"
                )
                try await t.sh(
                    """
                    ip netns add it$$; trap 'ip netns del it$$; ip link del it$$h 2>/dev/null' EXIT
                    ip link add it$$h type veth peer name eth0 netns it$$
                    ip addr add 198.18.7.5/30 dev it$$h; ip link set it$$h up
                    ip -n it$$ addr add 198.18.7.6/30 dev eth0; ip -n it$$ link set eth0 up; ip -n it$$ route add default via 198.18.7.5
                    docker exec ${N}a ping -c 1 -W 1 198.18.7.6 >/dev/null 2>&1 && echo leaked
                    docker run --rm busybox ping -c 1 -W 2 198.18.7.6 >/dev/null && echo outside reached
                    """, prints: "outside reached")
            }
        }

        @Test func prune() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker network create --label test=$N ${N}n; docker network prune -f --filter label=test=$N",
                    has: "Deleted Networks:\n\(t.name)n")
            }
        }
    }
}
