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
        router.delete("/skala/v1/pods/{name}") { request in
            try await engine.pods.remove(request.parameter("name"), force: request.query.flag("force"))
            return .noContent
        }
    }
}
