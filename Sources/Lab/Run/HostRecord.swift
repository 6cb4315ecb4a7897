import Base
import Client
import Glibc
import Kernel

/// What a run was measured on: written into its results, since figures mean nothing without it.
enum HostRecord {
    static func read(_ client: EngineClient, _ peers: [UsablePeer]) throws -> JSON {
        let info = try client.json(.get("/info"))
        let version = try client.json(.get("/version"))
        let dataRoot = info["DockerRootDir"].string ?? "/"
        return [
            "hostname": JSON(HostFacts.hostname), "system": JSON(HostFacts.operatingSystem),
            "kernel": JSON(HostFacts.kernelVersion), "architecture": JSON(HostFacts.architecture),
            "processor": JSON(processor()), "processors": JSON(HostFacts.onlineCPUs),
            "memory": JSON(HostFacts.memoryBytes), "disk": disk(dataRoot), "cgroups": JSON(cgroups()),
            "accelerator": info["Accelerator"], "virtualized": JSON(isVirtualized()),
            "peers": JSON(peers.map { ["name": JSON($0.peer.rawValue), "version": JSON($0.version)] }),
            "engine": [
                "version": version["Version"], "storage": info["Driver"],
                "components": JSON(
                    (version["Components"].array ?? []).map { ["name": $0["Name"], "version": $0["Version"]] }),
            ],
        ]
    }

    private static func processor() -> String {
        for line in text("/proc/cpuinfo").split(separator: "\n") where line.hasPrefix("model name") {
            return line.split(separator: ":").dropFirst().joined().trimmed
        }
        return "unknown"
    }

    /// A hypervisor below: what is measured in its VM has its noise, too.
    private static func isVirtualized() -> Bool {
        text("/proc/cpuinfo").split(separator: "\n").contains { $0.hasPrefix("flags") && $0.contains(" hypervisor") }
    }

    private static func cgroups() -> String {
        // It is told as unknown, and hinders nothing.
        guard let layout = try? CgroupLayout.detect() else { return "unknown" }
        return layout.limitsOnVersion1 ? (layout.version2 == nil ? "version 1" : "hybrid") : "version 2"
    }

    /// The file system and the device below a path.
    private static func disk(_ path: String) -> JSON {
        var best: (point: String, type: String, device: String)?
        for line in text("/proc/self/mounts").split(separator: "\n") {
            let fields = line.split(separator: " ").map(String.init)
            guard fields.count > 2, path == fields[1] || path.hasPrefix(fields[1] == "/" ? "/" : fields[1] + "/") else {
                continue
            }
            if fields[1].count >= best?.point.count ?? 0 { best = (fields[1], fields[2], fields[0]) }
        }
        guard let best else { return .null }
        let device = best.device.split(separator: "/").last.map(String.init) ?? ""
        let rotates = text("/sys/class/block/\(device)/queue/rotational").trimmed
        return [
            "device": JSON(best.device), "fileSystem": JSON(best.type),
            "rotational": rotates.isEmpty ? .null : JSON(rotates == "1"),
        ]
    }

    /// A small file of /proc or /sys; empty where it is missing.
    static func text(_ path: String) -> String {
        (try? SmallFile.text(path)) ?? ""
    }
}

extension StringProtocol {
    /// Without white space at its ends.
    var trimmed: String {
        var rest = self[...]
        while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
        while rest.last?.isWhitespace == true { rest = rest.dropLast() }
        return String(rest)
    }
}
