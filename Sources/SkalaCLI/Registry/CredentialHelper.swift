import Base
import Glibc
import Kernel

/// A program `docker-credential-NAME` that keeps credentials, say in a key ring.
struct CredentialHelper {
    let program: String

    init(_ name: String) { program = "docker-credential-" + name }

    func credentials(for key: String) throws -> JSON? {
        guard let answer = try run("get", key) else { return nil }
        let document = try JSON(parsing: answer)
        let secret = document["Secret"].string ?? ""
        if document["Username"] == "<token>" { return ["identitytoken": JSON(secret)] }
        return ["username": document["Username"], "password": JSON(secret)]
    }

    func store(_ credentials: JSON, for key: String) throws {
        let token = credentials["identitytoken"].string ?? ""
        let entry: JSON = [
            "ServerURL": JSON(key), "Username": token.isEmpty ? credentials["username"] : "<token>",
            "Secret": token.isEmpty ? credentials["password"] : JSON(token),
        ]
        guard try run("store", entry.text) != nil else { throw SkalaError(.system, "\(program) did not store them") }
    }

    func erase(_ key: String) throws { _ = try run("erase", key) }

    /// What the program prints; nil when it fails, as it does where it has nothing.
    private func run(_ verb: String, _ input: String) throws -> String? {
        guard let path = Subprocess.find(program, path: Environment.value("PATH") ?? "") else {
            throw SkalaError(
                .notFound, "the credential helper '\(program)' of docker's config.json is not installed")
        }
        do { return try Subprocess.output([path, verb], input: Array(input.utf8), limit: 1 << 20) } catch {
            guard error.errno == EIO else { throw error }
            return nil
        }
    }
}
