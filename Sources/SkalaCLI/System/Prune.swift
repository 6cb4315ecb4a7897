import Base
import Client
import Kernel

/// Removes what is not used.
enum Prune {
    static func containers(_ call: Invocation, filters: [String]) throws -> Int64 {
        try run("/containers/prune", "containers", "ContainersDeleted", call, filters)
    }

    static func volumes(_ call: Invocation, filters: [String]) throws -> Int64 {
        try run("/volumes/prune", "volumes", "VolumesDeleted", call, filters)
    }

    static func networks(_ call: Invocation, filters: [String]) throws {
        _ = try run("/networks/prune", "networks", "NetworksDeleted", call, filters)
    }

    static func images(_ call: Invocation, filters: [String]) throws -> Int64 {
        try run("/images/prune", "images", "ImagesDeleted", call, filters)
    }

    static func show(reclaimed bytes: Int64, _ call: Invocation) throws {
        try call.output.line("Total reclaimed space: \(ByteSize.decimal(bytes))")
    }

    /// - Returns: the bytes that became free.
    private static func run(
        _ path: String, _ title: String, _ member: String, _ call: Invocation, _ filters: [String]
    ) throws -> Int64 {
        let answer = try call.client.json(.post(path, query: try API.filters(filters)))
        let removed = (answer[member].array ?? []).map { entry in
            entry.string ?? entry["Untagged"].string.map { "untagged: \($0)" } ?? "deleted: \(entry["Deleted"].plain)"
        }
        if !removed.isEmpty {
            try call.output.write("Removed \(title):\n" + removed.map { $0 + "\n" }.joined() + "\n")
        }
        return answer["SpaceReclaimed"].int ?? 0
    }
}
