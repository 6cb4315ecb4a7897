import Base
import Engine

/// The kernels of VMs; Skala's own part of the API.
struct KernelRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.get("/skala/v1/kernels") { _ in .json(["Kernels": JSON(try await engine.kernels())]) }
        router.post("/skala/v1/kernels/pull") { request in
            _ = try await request.body.json()
            return .json(["Release": JSON(try await engine.addKernel(.distribution))], status: 201)
        }
        router.post("/skala/v1/kernels/add") { request in
            let source = try KernelRoutes.source(try await request.body.json())
            return .json(["Release": JSON(try await engine.addKernel(source))], status: 201)
        }
        router.post("/skala/v1/kernels/{release}/use") { request in
            try await engine.useKernel(request.parameter("release"))
            return .noContent
        }
        router.delete("/skala/v1/kernels/{release}") { request in
            try await engine.removeKernel(request.parameter("release"))
            return .noContent
        }
    }

    private static func source(_ body: JSON) throws(SkalaError) -> KernelSource {
        if let image = body["Image"].string { return .image(image) }
        let (path, modules) = (body["Path"].string ?? "", body["Modules"].string)
        for path in [path, modules].compactMap({ $0 }) where !path.hasPrefix("/") {
            throw SkalaError(.invalid, "path '\(path)' is not absolute")
        }
        return modules.map { .files(image: path, modules: $0) } ?? .package(path)
    }
}
