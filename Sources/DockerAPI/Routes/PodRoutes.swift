import Base
import Engine

/// Pods: VMs that containers share; Skala's own part of the API.
struct PodRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.get("/skala/v1/pods") { _ in
            let pods = await engine.pods
            var documents: [JSON] = []
            for pod in await pods.all() { documents.append(await pods.document(of: pod)) }
            return .json(["Pods": JSON(documents)])
        }
        router.post("/skala/v1/pods/create") { request in
            let pod = try await engine.pods.create(try await request.body.json())
            return .json(["Id": JSON(pod.id)], status: 201)
        }
        router.get("/skala/v1/pods/{name}") { request in
            let pods = await engine.pods
            return .json(await pods.document(of: try await pods.find(request.parameter("name"))))
        }
        router.get("/skala/v1/pods/{name}/snapshots") { request in
            .json(["Snapshots": JSON(try await engine.pods.snapshots(of: request.parameter("name")))])
        }
        router.post("/skala/v1/pods/{name}/snapshots") { request in
            let (pods, name) = (await engine.pods, request.parameter("name"))
            let wanted = try await request.body.json()["Name"].string
            return SnapshotRoutes.work { report in
                ["Snapshot": JSON(try await pods.takeSnapshot(of: name, name: wanted, report: report))]
            }
        }
        router.delete("/skala/v1/pods/{name}/snapshots/{snapshot}") { request in
            try await engine.pods.removeSnapshot(request.parameter("snapshot"), of: request.parameter("name"))
            return .noContent
        }
        router.post("/skala/v1/pods/{name}/snapshots/{snapshot}/restore") { request in
            let (pods, name, snapshot) = (await engine.pods, request.parameter("name"), request.parameter("snapshot"))
            return SnapshotRoutes.work { report in
                try await pods.restore(name, to: snapshot, report: report)
                return [:]
            }
        }
        router.delete("/skala/v1/pods/{name}") { request in
            try await engine.pods.remove(request.parameter("name"), force: request.query.flag("force"))
            return .noContent
        }
    }
}
