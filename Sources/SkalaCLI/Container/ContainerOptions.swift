/// The options of `run` and `create`.
enum ContainerOptions {
    static let shared: [Option] =
        basics + environment + networking + storage + resources + security + health + engine

    private static let basics: [Option] = [
        .flag("interactive", short: "i", "Keep the container's input open"),
        .flag("tty", short: "t", "Give the container a terminal"),
        .flag("rm", "Remove the container, and its anonymous volumes, when it ends"),
        .value("name", "NAME", "The container's name"),
        .value("entrypoint", "PROGRAM", "Instead of the image's entry point"),
        .value("workdir", short: "w", "DIR", "Working directory in the container"),
        .value("user", short: "u", "USER[:GROUP]", "Names or ids the program runs as"),
        .list("group-add", "GROUP", "Additional group"),
        .value("hostname", short: "h", "NAME", "The container's host name"),
        .value("domainname", "NAME", "The container's domain name"),
        .flag("init", "Run an init process that passes on signals and reaps"),
        .value("restart", "POLICY", "no, on-failure[:TRIES], always or unless-stopped", .words(restartPolicies)),
        .value("stop-signal", "SIGNAL", "What stops the container instead of SIGTERM"),
        .value("stop-timeout", "SECONDS", "How long it may take to stop before it is killed"),
        .value("cidfile", "FILE", "Write the container's id there", .files),
        .list(
            "attach", short: "a", "STREAM", "Attach stdin, stdout or stderr only",
            .words(["stdin", "stdout", "stderr"])),
    ]

    private static let restartPolicies = ["no", "on-failure", "always", "unless-stopped"]

    private static let environment: [Option] = [
        .list("env", short: "e", "KEY=VALUE", "Environment variable; a name alone passes on our own"),
        .list("env-file", "FILE", "File of environment variables", .files),
        .list("label", short: "l", "KEY=VALUE", "Label"),
        .list("label-file", "FILE", "File of labels", .files),
        .list("annotation", "KEY=VALUE", "Annotation"),
    ]

    private static let networking: [Option] = [
        .list("network", "NETWORK", "A network's name, bridge, host, none or container:NAME", .networks),
        .list("network-alias", "NAME", "Another name on the network"),
        .value("ip", "ADDRESS", "IPv4 address on the network"),
        .value("ip6", "ADDRESS", "IPv6 address on the network"),
        .value("mac-address", "ADDRESS", "MAC address on the network"),
        .list("publish", short: "p", "[[IP:]PORT:]PORT", "Publish a port; /udp behind it for UDP"),
        .flag("publish-all", short: "P", "Publish all exposed ports"),
        .list("expose", "PORT", "Expose a port"),
        .list("add-host", "NAME:ADDRESS", "Line of /etc/hosts"),
        .list("dns", "ADDRESS", "Name server"),
        .list("dns-option", "OPTION", "Option of resolv.conf"),
        .list("dns-search", "DOMAIN", "Domain names are searched in"),
        .list("link", "CONTAINER[:ALIAS]", "Link to another container"),
    ]

    private static let storage: [Option] = [
        .list("volume", short: "v", "[SOURCE:]TARGET[:ro]", "Volume, or path of the host, in the container", .volumes),
        .list("mount", "FIELDS", "type=bind|volume|tmpfs,source=…,target=…,readonly"),
        .list("tmpfs", "TARGET[:OPTIONS]", "File system in memory"),
        .list("volumes-from", "CONTAINER", "The volumes of another container", .containers),
        .value("volume-driver", "NAME", "Driver of the volumes"),
        .flag("read-only", "The container's root file system cannot be written"),
        .list("storage-opt", "KEY=VALUE", "Option of the storage"),
    ]

    private static let resources: [Option] = [
        .value("memory", short: "m", "SIZE", "Memory limit"),
        .value("memory-reservation", "SIZE", "Soft memory limit"),
        .value("memory-swap", "SIZE", "Limit of memory and swap together; -1: none"),
        .value("memory-swappiness", "PERCENT", "How readily memory is swapped out"),
        .value("cpus", "NUMBER", "CPUs' worth of time"),
        .value("cpu-shares", short: "c", "WEIGHT", "Weight against other containers (1024 is usual)"),
        .value("cpu-period", "MICROSECONDS", "Period of the CPU quota"),
        .value("cpu-quota", "MICROSECONDS", "CPU time in a period"),
        .value("cpuset-cpus", "LIST", "CPUs it may run on: 0-2,4"),
        .value("cpuset-mems", "LIST", "Memory nodes it may use"),
        .value("pids-limit", "NUMBER", "Limit of processes; -1: none"),
        .value("blkio-weight", "WEIGHT", "Weight of block I/O (10 to 1000)"),
        .list("device-read-bps", "DEVICE:RATE", "Limit of bytes read a second"),
        .list("device-write-bps", "DEVICE:RATE", "Limit of bytes written a second"),
        .list("device-read-iops", "DEVICE:RATE", "Limit of reads a second"),
        .list("device-write-iops", "DEVICE:RATE", "Limit of writes a second"),
        .list("ulimit", "NAME=SOFT[:HARD]", "Limit of the process (ulimit)"),
        .value("shm-size", "SIZE", "Size of /dev/shm"),
        .flag("oom-kill-disable", "Do not kill when memory runs out"),
        .value("oom-score-adj", "NUMBER", "How soon the kernel kills it (-1000 to 1000)"),
        .value(
            "allocation", "MODE", "How resources are given: dedicated, shared or best-effort",
            .words(["dedicated", "shared", "best-effort"])),
    ]

    private static let security: [Option] = [
        .flag("privileged", "All capabilities and devices"),
        .list("cap-add", "CAPABILITY", "Add a capability"),
        .list("cap-drop", "CAPABILITY", "Drop a capability"),
        .list("security-opt", "OPTION", "no-new-privileges, seccomp=FILE|unconfined, …"),
        .list("device", "HOST[:TARGET[:rwm]]", "Device of the host", .files),
        .list("device-cgroup-rule", "RULE", "Rule of the device cgroup"),
        .list("sysctl", "KEY=VALUE", "Kernel parameter of the container's namespaces"),
        .value("userns", "MODE", "User namespace: host"),
        .value("pid", "MODE", "PID namespace: host or container:NAME"),
        .value("ipc", "MODE", "IPC namespace: private, shareable, host or container:NAME"),
        .value("uts", "MODE", "UTS namespace: host"),
        .value("cgroupns", "MODE", "Cgroup namespace: private or host"),
        .value("cgroup-parent", "CGROUP", "Cgroup above the container's"),
    ]

    private static let health: [Option] = [
        .value("health-cmd", "COMMAND", "Command that checks the container's health"),
        .value("health-interval", "DURATION", "Time between checks"),
        .value("health-timeout", "DURATION", "How long a check may take"),
        .value("health-start-period", "DURATION", "Time to start before failures count"),
        .value("health-start-interval", "DURATION", "Time between checks while it starts"),
        .value("health-retries", "NUMBER", "Failures in a row that mean unhealthy"),
        .flag("no-healthcheck", "No health check, whatever the image says"),
    ]

    private static let engine: [Option] = [
        .value(
            "isolation", "ISOLATION",
            "container, microvm (a virtual machine of its own) or pod (one that several share)",
            .words(["container", "pod", "microvm"])),
        .value("pod", "NAME", "The pod whose virtual machine it shares, made when there is none"),
        .value("runtime", "ISOLATION", "The same, as docker calls it"),
        .value("platform", "OS/ARCH", "Platform of the image"),
        .value("pull", "WHEN", "Pull the image: always, missing or never", .words(["always", "missing", "never"])),
        .flag("quiet", short: "q", "Do not show the progress of a pull"),
        .value("log-driver", "NAME", "json-file, local or none", .words(["json-file", "local", "none"])),
        .list("log-opt", "KEY=VALUE", "Option of the log driver: max-size, max-file"),
    ]

    /// How a client follows a container.
    static let attaching: [Option] = [
        .value("detach-keys", "KEYS", "Keys that leave the container to itself (default ctrl-p,ctrl-q)"),
        .flag("sig-proxy", "Pass signals on to the container (default true)"),
    ]
}
