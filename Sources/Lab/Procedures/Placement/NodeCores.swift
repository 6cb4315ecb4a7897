import Kernel

/// Shares of this host's processors, each of which stands for a node.
enum NodeCores {
    /// The processors in the order of the cores they belong to: threads of one core stand together, so that they fall into one share.
    static func processors() -> [Int] {
        let folder = "/sys/devices/system/cpu"
        // Where nothing is told of them they are counted.
        let names = (try? FileContents.names(in: folder)) ?? []
        var cores: [String: [Int]] = [:]
        for name in names where name.hasPrefix("cpu") {
            guard let number = Int(name.dropFirst(3)) else { continue }
            // One that is switched off has none.
            let siblings = HostRecord.text("\(folder)/\(name)/topology/thread_siblings_list").trimmed
            if !siblings.isEmpty { cores[siblings, default: []].append(number) }
        }
        guard !cores.isEmpty else { return Array(0..<HostFacts.onlineCPUs) }
        return cores.values.map { $0.sorted() }.sorted { $0[0] < $1[0] }.flatMap { $0 }
    }

    /// So many equal shares, in the form of cpuset(7); what is left over is in none. Nil when there are too few processors.
    static func shares(_ count: Int, of processors: [Int]) -> [String]? {
        let size = processors.count / count
        guard size > 0 else { return nil }
        return (0..<count).map { share in
            processors[share * size..<(share + 1) * size].sorted().map(String.init).joined(separator: ",")
        }
    }
}
