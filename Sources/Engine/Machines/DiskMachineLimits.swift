import Base

/// What a machine cannot have: what is in it is its own disk's affair. It is refused, never ignored.
enum DiskMachineLimits {
    static let firmwareAnnotation = "skala.firmware"
    static let userDataAnnotation = "skala.user-data"
    /// As much as clouds take at the most, several times.
    private static let userDataLimit = 256 << 10
    /// In bytes.
    static let defaultMemory: Int64 = 1 << 30
    static let minimumMemory: Int64 = 64 << 20

    private static let inside = "its disk says what runs in it"
    private static let kernel = "its kernel is its own"
    private static let folders = "folders of the host do not reach it"

    /// Options of the create request that a client sets for containers only.
    private static let config: [(key: String, option: String, reason: String)] = [
        ("Cmd", "a command", inside), ("Entrypoint", "--entrypoint", inside), ("User", "--user", inside),
        ("WorkingDir", "--workdir", inside), ("Volumes", "--volume", folders),
        ("StopSignal", "--stop-signal", "it is stopped by its power button"),
        ("Domainname", "--domainname", "give it in the user data"),
    ]
    private static let host: [(key: String, option: String, reason: String)] = [
        ("Binds", "--volume", folders), ("Mounts", "--mount", folders), ("Tmpfs", "--tmpfs", folders),
        ("VolumesFrom", "--volumes-from", folders), ("CapAdd", "--cap-add", kernel), ("CapDrop", "--cap-drop", kernel),
        ("Privileged", "--privileged", kernel), ("SecurityOpt", "--security-opt", kernel),
        ("Sysctls", "--sysctl", kernel), ("Ulimits", "--ulimit", kernel), ("PidsLimit", "--pids-limit", kernel),
        ("ReadonlyRootfs", "--read-only", "its disk is written"), ("Init", "--init", inside),
        ("GroupAdd", "--group-add", inside), ("ShmSize", "--shm-size", kernel),
        ("Devices", "--device", "the host's devices stay on the host"),
        ("DeviceCgroupRules", "--device-cgroup-rule", "the host's devices stay on the host"),
        ("OomKillDisable", "--oom-kill-disable", kernel),
        ("MemorySwap", "--memory-swap", "its memory is not swapped by itself"),
        ("ExtraHosts", "--add-host", "give it in the user data"),
        ("DnsOptions", "--dns-option", "give it in the user data"),
        ("DnsSearch", "--dns-search", "give it in the user data"),
    ]

    /// Of a create request, before defaults are filled in.
    ///
    /// - Throws: `.invalid` naming the option and why.
    static func check(_ body: JSON) throws(SkalaError) {
        let given = body["HostConfig"]
        for field in config where isSet(body[field.key]) { throw refused(field.option, field.reason) }
        for field in host where isSet(given[field.key]) { throw refused(field.option, field.reason) }
        for (field, option) in [
            ("NetworkMode", "--network"), ("PidMode", "--pid"), ("IpcMode", "--ipc"), ("UTSMode", "--uts"),
            ("CgroupnsMode", "--cgroupns"),
        ] {
            let mode = given[field].string ?? ""
            if mode == "host" || mode.hasPrefix("container:") || mode == "shareable" {
                throw refused("\(option) \(mode)", kernel)
            }
        }
        let test = body["Healthcheck"]["Test"].strings ?? []
        if !test.isEmpty, test != ["NONE"] {
            throw refused("a health check", "nothing can be executed in it from outside")
        }
        for option in given["StorageOpt"].object?.keys ?? [] where option != "size" {
            throw refused("--storage-opt \(option)", "its disk has a size only")
        }
        if let memory = given["Memory"].int, memory != 0, memory < minimumMemory {
            throw SkalaError(.invalid, "a machine has at least 64MB of memory")
        }
        if let name = body["Hostname"].string, !name.isEmpty, !isHostname(name) {
            throw SkalaError(.invalid, "invalid host name of a machine: '\(name)'")
        }
        if (body["NetworkingConfig"]["EndpointsConfig"].object?.members.count ?? 0) > 1 {
            throw refused("a further network", "it has one network card")
        }
        try checkAnnotations(given["Annotations"], variables: body["Env"].strings ?? [])
    }

    private static func checkAnnotations(_ annotations: JSON, variables: [String]) throws(SkalaError) {
        if let firmware = annotations[firmwareAnnotation].string, !["bios", "uefi"].contains(firmware) {
            throw SkalaError(.invalid, "invalid annotation \(firmwareAnnotation)=\(firmware): expected bios, uefi")
        }
        if let data = annotations[userDataAnnotation].string {
            guard data.utf8.count <= userDataLimit else {
                throw SkalaError(.invalid, "the user data is larger than \(userDataLimit >> 10) KiB")
            }
            guard variables.isEmpty else {
                throw refused(
                    "--env with user data of your own", "variables are handed over in the user data: put them there")
            }
        }
        if let variable = variables.first(where: { $0.contains { $0.isNewline } }) {
            throw refused(
                "--env \(variable.prefix { $0 != "=" }) of several lines", "/etc/environment has one line for each")
        }
    }

    /// A client that was told nothing sends null, zero, empty, or for the swappiness its own "unset".
    private static func isSet(_ value: JSON) -> Bool {
        ![.null, .int(0), .int(-1), .bool(false), "", [], [:]].contains(value)
    }

    private static func isHostname(_ name: String) -> Bool {
        name.utf8.count <= 253 && name.first != "-"
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == ".") }
    }

    /// The size its disk was asked to have, in bytes; nil for the image's.
    ///
    /// - Throws: `.invalid` naming the text.
    static func diskSize(_ host: JSON) throws(SkalaError) -> Int64? {
        guard let text = host["StorageOpt"]["size"].string else { return nil }
        return try rounded(try ByteSize.parse(text))
    }

    /// Whole mebibytes.
    static func rounded(_ size: Int64) throws(SkalaError) -> Int64 {
        guard size > 0, size <= 64 << 40 else { throw SkalaError(.invalid, "invalid size of a disk: \(size)") }
        return (size + (1 << 20) - 1) & ~((1 << 20) - 1)
    }

    static func refused(_ what: String, _ reason: String) -> SkalaError {
        SkalaError(.invalid, "\(what) is not possible at isolation machine: \(reason)")
    }
}
