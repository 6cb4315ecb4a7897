import Base
import Client
import Glibc
import Kernel

/// `skala login` and `logout`
enum RegistryLogin {
    static let login = Command(
        "login", "Keep credentials for a registry", "[OPTIONS] [REGISTRY]", 0...1,
        options: [
            .value("username", short: "u", "NAME", "User name"),
            .value("password", short: "p", "PASSWORD", "Password; others on this host can see it in the process list"),
            .flag("password-stdin", "Read the password from standard input"),
        ],
        examples: ["skala login registry.example.org", "skala login -u me --password-stdin < password.txt"]
    ) { call in
        let arguments = call.arguments
        let registry = arguments.positional.first ?? ImageName.hub
        if arguments.flag("password-stdin"), !arguments.has("username") {
            throw SkalaError(.invalid, "--password-stdin needs --username")
        }
        let username = try arguments["username"] ?? ask("User name: ", isHidden: false)
        let password: String
        if arguments.flag("password-stdin") {
            password = try line()
        } else {
            password = try arguments["password"] ?? ask("Password: ", isHidden: true)
        }
        guard !username.isEmpty, !password.isEmpty else {
            throw SkalaError(.invalid, "user name and password must not be empty")
        }
        var credentials: JSON = ["username": JSON(username), "password": JSON(password)]
        credentials["serveraddress"] = JSON(CredentialStore.key(registry))
        let answer = try call.client.json(.post("/auth", credentials))
        // A token the registry can take back is kept in place of the password.
        credentials["identitytoken"] = answer["IdentityToken"]
        var store = try CredentialStore.standard()
        let place = try store.store(credentials, for: registry)
        try call.output.line("\(answer["Status"].string ?? "Login Succeeded"); credentials are kept in \(place)")
        return 0
    }

    static let logout = Command(
        "logout", "Forget the credentials for a registry", "[REGISTRY]", 0...1,
        examples: ["skala logout registry.example.org"]
    ) { call in
        let registry = call.arguments.positional.first ?? ImageName.hub
        var store = try CredentialStore.standard()
        guard try store.erase(registry) else {
            throw SkalaError(.notFound, "no credentials are kept for \(registry)")
        }
        try call.output.line("Removed the credentials for \(registry)")
        return 0
    }

    private static func ask(_ question: String, isHidden: Bool) throws -> String {
        guard Terminal.isTerminal(0) else {
            throw SkalaError(.invalid, "no terminal to ask at: use --username and --password-stdin")
        }
        StandardStreams.error(question)
        let saved = isHidden ? Terminal(descriptor: 0).hideInput() : nil
        defer {
            if let saved {
                saved.restore()
                StandardStreams.error("\n")
            }
        }
        // A Ctrl-C must not leave the terminal without echo: it ends this program after the settings are back.
        let signals = isHidden ? try SignalQueue([SIGINT, SIGTERM]) : nil
        var interruption: Int32?
        signals?.wait(
            for: 0,
            until: {
                interruption = $0
                return true
            })
        if let interruption { throw CommandFailure(128 + interruption, "") }
        return try line()
    }

    /// The first line of standard input.
    private static func line() throws -> String {
        var bytes: [UInt8] = []
        while !bytes.contains(0x0A) {
            let piece = try Pipe.read(0, upTo: 4096)
            if piece.isEmpty { break }
            bytes += piece
        }
        return String(decoding: bytes.prefix { $0 != 0x0A && $0 != 0x0D }, as: UTF8.self)
    }
}
