import Base

/// A program that is executed at one point of a container's life.
public struct RuntimeHook: Sendable, Hashable {
    public var path: String
    public var arguments: [String]
    /// Nil: the runtime's own.
    public var environment: [String]?
    /// Seconds; nil: as long as it takes.
    public var timeout: Int64?

    init(_ json: JSON) throws(SkalaError) {
        guard let path = json["path"].string, path.hasPrefix("/") else {
            throw SkalaError(.invalid, "hooks: not an absolute path: \(json["path"].text)")
        }
        self.path = path
        arguments = json["args"].strings.flatMap { $0.isEmpty ? nil : $0 } ?? [path]
        environment = json["env"].strings
        timeout = json["timeout"].int
        if let timeout, timeout <= 0 {
            throw SkalaError(.invalid, "hook \(path): the timeout must be positive: \(timeout)")
        }
        for text in [path] + arguments + (environment ?? []) where text.utf8.contains(0) {
            throw SkalaError(.invalid, "hook \(path): a zero byte in '\(text)'")
        }
    }
}

/// `hooks` of a spec, by the point at which they run.
public struct RuntimeHooks: Sendable, Hashable {
    /// On the host, after the namespaces were made and before the root is changed: `prestart`, then `createRuntime`.
    public var createRuntime: [RuntimeHook]
    /// In the container's namespaces with the host's files.
    public var createContainer: [RuntimeHook]
    /// In the container, before its program.
    public var startContainer: [RuntimeHook]
    /// On the host, after the program was executed.
    public var poststart: [RuntimeHook]
    /// On the host, after the container was deleted.
    public var poststop: [RuntimeHook]

    init(_ json: JSON) throws(SkalaError) {
        func list(_ name: String) throws(SkalaError) -> [RuntimeHook] {
            try RuntimeSpec.list(json[name], "hooks.\(name)", RuntimeHook.init)
        }
        createRuntime = try list("prestart") + list("createRuntime")
        createContainer = try list("createContainer")
        startContainer = try list("startContainer")
        poststart = try list("poststart")
        poststop = try list("poststop")
    }
}
