import Base
import Engine
import Images
import Kernel
import OCI

/// Building images, as the classic builder's clients ask for it.
struct BuildRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.post("/build") { try await build($0) }
        router.post("/build/prune") { _ in
            .json(["CachesDeleted": .null, "SpaceReclaimed": JSON(try await engine.builder.prune())])
        }
    }

    /// The build cache in `GET /system/df`: one store.
    static func cacheDocument(_ bytes: Int64) -> JSON {
        [
            "ID": "buildah", "Type": "regular", "Description": "layers of image builds", "InUse": false,
            "Shared": false, "Size": JSON(bytes), "CreatedAt": JSON(Timestamp.zeroText), "LastUsedAt": .null,
            "UsageCount": 0,
        ]
    }

    private func build(_ request: Request) async throws -> Response {
        let wanted = try wanted(request)
        let isQuiet = request.query.flag("q")
        let body = request.body
        return JSONLines.progress { report in
            let image = try await BodyPipe.reading(body, threads: engine.threads) { descriptor in
                try await engine.builder.build(wanted, context: descriptor) { if !isQuiet { report($0) } }
            }
            report(["aux": ["ID": JSON(image.id)]])
            if isQuiet {
                report(["stream": JSON(image.id + "\n")])
            } else {
                let short = Identifier.short(String(image.id.dropFirst("sha256:".count)))
                report(["stream": JSON("Successfully built \(short)\n")])
                for tag in wanted.tags { report(["stream": JSON("Successfully tagged \(tag.familiar)\n")]) }
            }
            engine.events.publish("image", "build", image.id, ["name": wanted.tags.first?.familiar ?? image.id])
        }
    }

    private func wanted(_ request: Request) throws -> BuildRequest {
        let query = request.query
        if let remote = query.first("remote"), !remote.isEmpty {
            throw SkalaError(.unsupported, "building from a URL is not supported: send the context instead")
        }
        if query.first("version") == "2" {
            throw SkalaError(.unsupported, "BuildKit builds are not supported: set DOCKER_BUILDKIT=0")
        }
        var build = BuildRequest()
        build.tags = try query.all("t").filter { !$0.isEmpty }.map { try Reference(parsing: $0) }
        if let path = query.first("dockerfile"), !path.isEmpty { build.dockerfile = path }
        build.arguments = try strings(query.first("buildargs"), "buildargs")
        build.labels = try strings(query.first("labels"), "labels")
        build.target = query.first("target") ?? ""
        build.usesCache = !query.flag("nocache")
        build.pullsAlways = query.flag("pull")
        build.network = query.first("networkmode") ?? ""
        guard ["", "default", "host", "none"].contains(build.network) else {
            throw SkalaError(
                .unsupported, "building on the network \(build.network) is not supported: use default, host or none")
        }
        build.platform = query.first("platform").flatMap { $0.isEmpty ? nil : $0 }
        build.extraHosts = (query.first("extrahosts") ?? "").split(separator: ",").map(String.init)
        build.memoryBytes = try query.int("memory") ?? 0
        build.squashes = query.flag("squash")
        if let header = request.header("X-Registry-Config"), let bytes = Base64.decode(header) {
            for member in try JSON(parsing: bytes).object?.members ?? [] {
                build.credentials[RegistryCredentials.registry(of: member.key)] = RegistryCredentials(
                    json: member.value)
            }
        }
        return build
    }

    /// A JSON object of texts; null values are left out.
    private func strings(_ text: String?, _ name: String) throws -> [String: String] {
        guard let text, !text.isEmpty else { return [:] }
        guard let members = try JSON(parsing: text).object?.members else {
            throw SkalaError(.invalid, "\(name) is no JSON object")
        }
        return Dictionary(
            members.compactMap { member in member.value.string.map { (member.key, $0) } }, uniquingKeysWith: { $1 })
    }
}
