import Base
import Glibc
import YAML

/// What the Compose files of a project describe, as requests of the Docker Engine API.
struct ComposeProject {
    /// The label by which `docker stack` and Skala know what belongs to a project.
    static let label = "com.docker.stack.namespace"

    let name: String
    let file: ComposeFile
    /// Those of the chosen profiles, in an order in which each comes behind what it depends on.
    let services: [ComposeService]
    let networks: [ComposeResource]
    let volumes: [ComposeResource]
    let secrets: [ComposeResource]
    let configs: [ComposeResource]

    /// - Parameters:
    ///   - name: the user's choice; nil takes that of the file or its folder.
    ///   - profiles: services with others are left out.
    init(_ file: ComposeFile, name given: String?, profiles: Set<String>) throws {
        self.file = file
        let document = file.document
        try document.allowOnly([
            "version", "name", "services", "networks", "volumes", "secrets", "configs",
        ])
        name = try given ?? document["name"]?.string() ?? ComposeProject.name(of: file.directory)
        guard name.first.map({ $0.isLowercase || $0.isNumber }) == true,
            name.allSatisfy({ $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "-" || $0 == "_") })
        else {
            throw SkalaError(
                .invalid,
                "project name '\(name)': lower-case letters, digits, '-' and '_', beginning with a letter or digit")
        }
        let name = name
        func resources(_ kind: ComposeResource.Kind) throws -> [ComposeResource] {
            try document[kind.rawValue]?.entries().map {
                try ComposeResource(kind, $0.key, $0.value, project: name, file)
            } ?? []
        }
        var networks = try resources(.networks)
        (volumes, secrets, configs) = (try resources(.volumes), try resources(.secrets), try resources(.configs))
        var services: [ComposeService] = []
        for (key, value) in try document["services"]?.entries() ?? [] {
            let wanted = try value["profiles"]?.strings() ?? []
            guard wanted.isEmpty || !profiles.isDisjoint(with: wanted) else { continue }
            services.append(
                try ComposeService(
                    key, value,
                    ComposeService.Surroundings(
                        project: name, file: file, networks: networks, volumes: volumes, secrets: secrets,
                        configs: configs)))
        }
        guard !services.isEmpty else { throw document.fault("there is no service") }
        if services.contains(where: { $0.networks.contains(ComposeResource.defaultNetwork) }),
            !networks.contains(where: { $0.key == ComposeResource.defaultNetwork })
        {
            networks.append(ComposeResource.network(project: name))
        }
        self.networks = networks.filter { network in services.contains { $0.networks.contains(network.key) } }
        self.services = try ComposeProject.ordered(services)
    }

    /// A folder's name as a project's.
    private static func name(of directory: String) -> String {
        let last = directory.split(separator: "/").last.map(String.init) ?? "default"
        let name = last.lowercased().filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
        let trimmed = name.drop { $0 == "-" || $0 == "_" }
        return trimmed.isEmpty ? "default" : String(trimmed)
    }

    /// - Throws: `.invalid` for services that wait for each other, and for one that is not there.
    private static func ordered(_ services: [ComposeService]) throws(SkalaError) -> [ComposeService] {
        var ordered: [ComposeService] = []
        var rest = services
        while !rest.isEmpty {
            let done = Set(ordered.map(\.key))
            let ready = rest.filter { $0.dependencies.allSatisfy { done.contains($0.service) } }
            guard !ready.isEmpty else { throw obstacle(rest, Set(services.map(\.key))) }
            ordered += ready
            let placed = Set(ready.map(\.key))
            rest.removeAll { placed.contains($0.key) }
        }
        return ordered
    }

    private static func obstacle(_ rest: [ComposeService], _ known: Set<String>) -> SkalaError {
        for service in rest {
            if let missing = service.dependencies.first(where: { !known.contains($0.service) }) {
                return service.value.fault(
                    "it depends on the service '\(missing.service)', which is not there or of another profile")
            }
        }
        let names = rest.map(\.key).sorted().joined(separator: ", ")
        return rest[0].value.fault("these services wait for each other: \(names)")
    }
}
