public import Base
import Engine
import Images
import Kernel
import Planning
import Store

/// Secrets and configs.
extension Cluster {
    /// Keeps a secret or config, from the API's create request.
    ///
    /// - Returns: its id.
    public func create(_ kind: SwarmFile.Kind, _ spec: JSON) async throws -> String {
        try requireActive()
        try RefusedFields.check(kind == .secret ? "SecretSpec" : "ConfigSpec", spec)
        let name = spec["Name"].string ?? ""
        try SwarmFile.check(name: name, kind)
        guard let bytes = Base64.decode(spec["Data"].string ?? "") else {
            throw SkalaError(.invalid, "\(kind.rawValue) \(name): Data is not base64")
        }
        guard (1...kind.maximumBytes).contains(bytes.count) else {
            throw SkalaError(
                .invalid, "\(kind.rawValue) data must be larger than 0 and less than \(kind.maximumBytes) bytes")
        }
        guard let labels = spec["Labels"].isNull ? [:] : spec["Labels"].stringDictionary else {
            throw SkalaError(.invalid, "Labels is an object of strings")
        }
        guard !files.values.contains(where: { $0.kind == kind && $0.name == name }) else {
            throw SkalaError(
                .conflict,
                "rpc error: code = AlreadyExists desc = \(kind.rawValue) \(name) already exists")
        }
        let id = ClusterIdentifier.make()
        let file = SwarmFile(
            kind: kind, id: id, name: name, labels: labels,
            contents: kind == .secret ? try vault().seal(bytes, id: id) : bytes, counter: context.counter)
        files[id] = file
        do {
            try await context.store.put(kind.rawValue, id, file.json)
        } catch {
            files[id] = nil
            throw error
        }
        context.publish(kind.rawValue, "create", id, ["name": name])
        return id
    }

    /// Made at first use: who has no secrets has no key.
    private func vault() throws -> SecretVault {
        try SecretVault(path: context.engine.configuration.dataRoot + "/secrets.key")
    }

    public func all(_ kind: SwarmFile.Kind) throws -> [SwarmFile] {
        try requireActive()
        return files.values.filter { $0.kind == kind }.sorted { $0.version.created < $1.version.created }
    }

    /// By id, name, or the start of an id.
    public func file(_ kind: SwarmFile.Kind, _ reference: String) throws -> SwarmFile {
        let all = try all(kind)
        if let file = all.first(where: { $0.id == reference || $0.name == reference }) { return file }
        let matches = reference.isEmpty ? [] : all.filter { $0.id.hasPrefix(reference) }
        if matches.count > 1 { throw SkalaError(.invalid, "\(kind.rawValue) \(reference) is ambiguous") }
        guard let match = matches.first else {
            throw SkalaError(.notFound, "\(kind.rawValue) \(reference) not found")
        }
        return match
    }

    /// Changes labels: contents never change, as tasks that run have them.
    public func update(_ kind: SwarmFile.Kind, _ reference: String, index: Int64, to spec: JSON) async throws {
        var file = try file(kind, reference)
        guard index == file.version.index else { throw Cluster.outOfSequence }
        let data = spec["Data"].string ?? ""
        let contents = data.isEmpty ? [] : try contents(of: file)
        guard spec["Name"].string == file.name, data.isEmpty || Base64.decode(data) == contents else {
            throw SkalaError(.invalid, "only updates to Labels are allowed")
        }
        guard let labels = spec["Labels"].isNull ? [:] : spec["Labels"].stringDictionary else {
            throw SkalaError(.invalid, "Labels is an object of strings")
        }
        file.labels = labels
        file.version.advance(context.counter)
        try await context.store.put(kind.rawValue, file.id, file.json)
        files[file.id] = file
        context.publish(kind.rawValue, "update", file.id, ["name": file.name])
    }

    /// - Throws: `.invalid` with Docker's text while a service uses it.
    public func remove(_ kind: SwarmFile.Kind, _ reference: String) async throws {
        let file = try file(kind, reference)
        var users: [String] = []
        for service in try await services() {
            let references = Cluster.references(kind, service.spec.task)
            var isUsed = references.contains { $0[kind.idKey].string == file.id }
            // What a service has was checked.
            if kind == .secret, let name = ((try? HTTPPolicy(labels: service.spec.labels)) ?? nil)?.certificate {
                isUsed = isUsed || (try? self.file(.secret, name))?.id == file.id
            }
            if isUsed { users.append(service.name) }
        }
        guard users.isEmpty else {
            throw SkalaError(
                .invalid,
                "rpc error: code = InvalidArgument desc = \(kind.rawValue) '\(file.name)' is in use by the following "
                    + "service\(users.count == 1 ? "" : "s"): \(users.joined(separator: ", "))")
        }
        try await context.store.remove(kind.rawValue, file.id)
        files[file.id] = nil
        context.publish(kind.rawValue, "remove", file.id, ["name": file.name])
    }

    /// Seals a client's `X-Registry-Auth`, so that images can be pulled with it later.
    func sealed(registryAuth text: String, of service: String) throws -> String {
        Base64.encode(try vault().seal(Array(text.utf8), id: service))
    }

    /// What a service's images are pulled with; nil without.
    func credentials(of service: ServiceRecord) throws -> RegistryCredentials? {
        guard !service.registryAuth.isEmpty else { return nil }
        let header = try vault().open(Base64.decode(service.registryAuth) ?? [], id: service.id)
        return RegistryCredentials(header: String(decoding: header, as: UTF8.self))
    }

    func contents(of file: SwarmFile) throws -> [UInt8] {
        file.kind == .secret ? try vault().open(file.contents, id: file.id) : file.contents
    }

    // MARK: in tasks

    private static func references(_ kind: SwarmFile.Kind, _ task: TaskSpec) -> [JSON] {
        task.container[kind == .secret ? "Secrets" : "Configs"].array ?? []
    }

    /// Where the files of a task lie in its container, in the order of `taskFiles`.
    ///
    /// - Throws: `.notFound` for what does not exist, `.invalid` for what is malformed.
    func fileTargets(_ task: TaskSpec) throws -> [String] {
        var targets: [String] = []
        for kind in [SwarmFile.Kind.secret, .config] {
            for reference in Cluster.references(kind, task) {
                _ = try file(kind, reference[kind.idKey].string ?? reference[kind.nameKey].string ?? "")
                guard !reference["File"].isNull else {
                    throw SkalaError(
                        .unsupported, "a \(kind.rawValue) without File is not supported: it is put into tasks as a file"
                    )
                }
                let name = reference["File"]["Name"].string ?? ""
                guard !name.isEmpty, !name.split(separator: "/").contains("..") else {
                    throw SkalaError(.invalid, "invalid \(kind.rawValue) target '\(name)'")
                }
                let folder = kind == .secret ? TaskFiles.secretsFolder + "/" : "/"
                let target = name.hasPrefix("/") ? name : folder + name
                guard !targets.contains(target) else {
                    throw SkalaError(.invalid, "two secrets or configs have the target \(target)")
                }
                targets.append(target)
            }
        }
        return targets
    }

    /// The files of a task, opened.
    func taskFiles(_ task: TaskSpec) throws -> [TaskFiles.File] {
        var result: [TaskFiles.File] = []
        var targets = try fileTargets(task)[...]
        for kind in [SwarmFile.Kind.secret, .config] {
            for reference in Cluster.references(kind, task) {
                let file = try file(kind, reference[kind.idKey].string ?? reference[kind.nameKey].string ?? "")
                let place = reference["File"]
                guard let target = targets.popFirst(),
                    let user = UInt32(place["UID"].string.flatMap { $0.isEmpty ? nil : $0 } ?? "0"),
                    let group = UInt32(place["GID"].string.flatMap { $0.isEmpty ? nil : $0 } ?? "0")
                else {
                    throw SkalaError(
                        .invalid, "the owner of \(kind.rawValue) \(file.name) is given as numbers: \(place.text)")
                }
                let mode = UInt32(clamping: place["Mode"].int ?? 0o444) & 0o7777
                let contents = try contents(of: file)
                result.append(
                    TaskFiles.File(target: target, contents: contents, user: user, group: group, mode: mode))
            }
        }
        return result
    }
}

extension SwarmFile.Kind {
    fileprivate var idKey: String { self == .secret ? "SecretID" : "ConfigID" }
    fileprivate var nameKey: String { self == .secret ? "SecretName" : "ConfigName" }
}
