import Base
import Planning
import Services

/// What the lab has measured of this host; Skala's own part of the API.
struct ProfileRoutes {
    let cluster: Cluster

    func register(_ router: inout Router) {
        router.get("/skala/v1/host/profile") { _ in
            guard let profile = await cluster.hostProfile else { throw Cluster.noProfile }
            return .json(profile.json)
        }
        router.put("/skala/v1/host/profile") { request in
            let profile = try HostProfile(json: try await request.body.json())
            let (merged, leftOut) = try await cluster.take(profile: profile, force: request.query.flag("force"))
            return .json(["Profile": merged.json, "LeftOut": JSON(leftOut)])
        }
        router.delete("/skala/v1/host/profile") { _ in
            try await cluster.forgetProfile()
            return .noContent
        }
    }
}
