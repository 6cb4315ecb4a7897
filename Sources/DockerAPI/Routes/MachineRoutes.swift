import Base
import Engine
import Images
import OCI

/// Machines: VMs that boot from their own disk. Skala's own part of the API.
struct MachineRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.post("/skala/v1/machines/import") { request in
            let name = request.query.first("reference") ?? ""
            let reference = name.isEmpty ? nil : try Reference(parsing: name)
            guard reference?.digest == nil else { throw SkalaError(.invalid, "a disk is not imported under a digest") }
            let image = try await engine.importDisk(request.body.chunks, reference: reference)
            return .json(["Id": JSON(image.id), "Size": JSON(image.size)], status: 201)
        }
        router.post("/skala/v1/machines/{name}/resize") { request in
            guard let size = try await request.body.json()["Size"].int else {
                throw SkalaError(.invalid, "Size is missing: bytes of the disk")
            }
            try await engine.containers.find(request.parameter("name")).resizeDisk(to: size)
            return .noContent
        }
    }
}
