import Base
import Engine

/// Snapshots, clones and conversions; Skala's own part of the API. What takes time answers with progress, one JSON document a
/// line, of which the last one's `aux` is the result.
struct SnapshotRoutes {
    let engine: Engine

    private static let base = "/skala/v1/containers/{id}"

    func register(_ router: inout Router) {
        router.get(SnapshotRoutes.base + "/snapshots") { request in
            .json(["Snapshots": JSON(try await find(request).snapshotDocuments())])
        }
        router.post(SnapshotRoutes.base + "/snapshots") { request in
            let container = try await find(request)
            let body = try await request.body.json()
            return SnapshotRoutes.work { report in
                [
                    "Snapshot": JSON(
                        try await container.takeSnapshot(
                            name: body["Name"].string, filesOnly: body["DiskOnly"].bool ?? false, report: report))
                ]
            }
        }
        router.delete(SnapshotRoutes.base + "/snapshots/{name}") { request in
            try await find(request).removeSnapshot(request.parameter("name"))
            return .noContent
        }
        router.post(SnapshotRoutes.base + "/snapshots/{name}/restore") { request in
            let container = try await find(request)
            let (name, body) = (request.parameter("name"), try await request.body.json())
            return SnapshotRoutes.work { report in
                try await container.restore(name, filesOnly: body["DiskOnly"].bool ?? false, report: report)
                return [:]
            }
        }
        router.post(SnapshotRoutes.base + "/clone") { request in
            let id = try await find(request).id
            let clone = try cloneRequest(try await request.body.json())
            return SnapshotRoutes.work { report in
                let made = try await engine.containers.clone(id, clone, report: report)
                return ["Clones": JSON(made.map { ["Id": JSON($0.id), "Name": JSON($0.name)] as JSON })]
            }
        }
        router.post(SnapshotRoutes.base + "/convert") { request in
            let container = try await find(request)
            let body = try await request.body.json()
            let text = body["Isolation"].string ?? ""
            guard let isolation = Isolation(rawValue: text) else {
                let known = Isolation.allCases.map(\.rawValue).joined(separator: ", ")
                throw SkalaError(.invalid, "unknown isolation '\(text)': the isolations are \(known)")
            }
            return SnapshotRoutes.work { report in
                let notes = try await container.convert(to: isolation, pod: body["Pod"].string, report: report)
                return ["Warnings": JSON(notes)]
            }
        }
    }

    private func find(_ request: Request) async throws -> Container {
        try await engine.containers.find(request.parameter("id"))
    }

    private func cloneRequest(_ body: JSON) throws -> CloneRequest {
        var clone = CloneRequest()
        clone.name = body["Name"].string
        if !body["Count"].isNull {
            guard let count = body["Count"].int else { throw SkalaError(.invalid, "Count is no number") }
            clone.count = Int(count)
        }
        clone.snapshot = body["Snapshot"].string
        clone.filesOnly = body["DiskOnly"].bool ?? false
        return clone
    }

    static func work(_ body: @escaping @Sendable (@escaping ProgressReport) async throws -> JSON) -> Response {
        JSONLines.progress { send in
            let result = try await body { send(["status": JSON($0)]) }
            send(["aux": result])
        }
    }
}
