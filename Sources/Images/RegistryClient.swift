import Base
import CCurl
import Glibc
import Kernel
import OCI

/// Talks to one repository of one registry (distribution specification 1.1). Blocking; used by one pull or push.
final class RegistryClient {
    private static let retryLimit = 5

    /// A registry that goes on with further pages for ever is not believed.
    private static let pageLimit = 1000

    let reference: Reference
    /// `https://registry.example.org`.
    private let server: String
    private let base: String
    private let credentials: RegistryCredentials?
    private var authorization: String?

    static func initialize() { ccurl_initialize() }

    /// - Parameter mirror: the base URL of a mirror to ask in place of the registry.
    init(_ reference: Reference, credentials: RegistryCredentials?, mirror: String? = nil) {
        self.reference = reference
        self.credentials = mirror == nil ? credentials : nil
        let host = reference.domain == Reference.defaultDomain ? "registry-1.docker.io" : reference.domain
        server = mirror ?? (RegistryClient.isLoopback(host) ? "http://" : "https://") + host
        base = "\(server)/v2/\(reference.path)"
    }

    /// Registries on this host are asked without TLS.
    static func isLoopback(_ host: String) -> Bool {
        let name =
            host.hasPrefix("[") ? String(host.dropFirst().prefix { $0 != "]" }) : String(host.prefix { $0 != ":" })
        // An address, not a name that looks like one: 127.0.0.1.example.com may be anybody's.
        let numbers = name.split(separator: ".", omittingEmptySubsequences: false)
        let isAddress = numbers.count == 4 && numbers.allSatisfy { UInt8($0) != nil }
        return name == "localhost" || name == "::1" || isAddress && numbers[0] == "127"
    }

    // MARK: documents

    /// A manifest or index by tag or digest, verified.
    func manifest(_ name: String) throws -> (document: JSON, bytes: [UInt8], digest: String, type: String) {
        let types = (MediaType.manifests + MediaType.indexes).joined(separator: ", ")
        let (answer, bytes) = try get("\(base)/manifests/\(name)", ["Accept: \(types)"], limit: 8 << 20)
        guard answer.status == 200 else { throw failure(answer, bytes, name) }
        let digest = try SHA256.digest(of: bytes)
        if Digest.isValid(name), name != digest {
            throw SkalaError(.invalid, "manifest \(name) has the digest \(digest)")
        }
        let document = try JSON(parsing: bytes)
        let type = document["mediaType"].string ?? answer.headers["content-type"] ?? MediaType.ociManifest
        return (document, bytes, digest, type)
    }

    /// All tags of the repository, in the registry's order: page by page, where it gives no more at once.
    ///
    /// - Throws: `.invalid` for a next page elsewhere, or more than a thousand of them.
    func tags() throws -> [String] {
        var url = base + "/tags/list"
        var tags: [String] = []
        for _ in 0..<RegistryClient.pageLimit {
            let (answer, bytes) = try get(url, ["Accept: application/json"], limit: 8 << 20)
            guard answer.status == 200 else { throw failure(answer, bytes, "tags") }
            tags += try JSON(parsing: bytes)["tags"].strings ?? []
            guard let link = RegistryClient.nextPage(answer.headers["link"] ?? "") else { return tags }
            guard let next = absolute(link) else {
                throw SkalaError(.invalid, "registry \(reference.domain): the next page of tags is elsewhere: \(link)")
            }
            url = next
        }
        throw SkalaError(.invalid, "registry \(reference.domain): \(reference.path) has too many tags")
    }

    /// The target of a `Link` header of the relation `next` (RFC 8288): `</v2/x/tags/list?n=2&last=b>; rel="next"`.
    static func nextPage(_ header: String) -> String? {
        var rest = header[...]
        while let start = rest.firstIndex(of: "<"), let end = rest[start...].firstIndex(of: ">") {
            let target = rest[rest.index(after: start)..<end]
            rest = rest[rest.index(after: end)...]
            let parameters = rest.prefix { $0 != "<" }.lowercased().split { ";, ".contains($0) }
            if parameters.contains("rel=\"next\"") || parameters.contains("rel=next") { return String(target) }
        }
        return nil
    }

    /// A location on this server, given with or without it; nil for another server, which must not see credentials.
    private func absolute(_ location: String) -> String? {
        if location.hasPrefix("/"), !location.hasPrefix("//") { return server + location }
        return location.hasPrefix(server + "/") ? location : nil
    }

    private func get(
        _ url: String, _ headers: [String], limit: Int
    ) throws -> (answer: HTTPCall.Answer, body: [UInt8]) {
        var body: [UInt8] = []
        let answer = try authorized(HTTPCall(url: url, headers: headers)) { call in
            body = []
            return call.perform { _, piece in
                body.append(contentsOf: piece)
                return body.count <= limit
            }
        }
        return (answer, body)
    }

    /// Asks the registry whether it takes the credentials.
    ///
    /// - Throws: `.unauthorized` when it does not.
    func checkCredentials() throws {
        let root = String(base.prefix(base.count - reference.path.count))
        let refused = SkalaError(.unauthorized, "login attempt to \(root) failed with status: 401 Unauthorized")
        let answer: HTTPCall.Answer
        let body: [UInt8]
        do {
            (answer, body) = try get(root, [], limit: 1 << 20)
        } catch let error as SkalaError where error.code == .unauthorized {
            // Its text is of a pull.
            throw refused
        }
        if answer.status == 401 { throw refused }
        guard answer.status == 200 else { throw failure(answer, body, root) }
    }

    // MARK: blobs

    /// Fetches a blob into a file, going on where a broken connection left off, and verifies it.
    func blob(_ digest: String, size: Int64, to path: String, _ progress: @escaping (Int64) -> Bool) throws {
        guard Digest.isValid(digest) else { throw SkalaError(.invalid, "invalid digest '\(digest)'") }
        var attempt = 0
        while true {
            let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT)
            var have = Int64(lseek(file.raw, 0, SEEK_END))
            let start = have
            var writeError: Int32 = 0
            var isCancelled = false
            let call = HTTPCall(url: "\(base)/blobs/\(digest)", resumeFrom: have)
            let answer = try authorized(call) { call in
                call.perform { status, piece in
                    guard status == 200 || status == 206 else { return true }
                    if status == 200, have > 0, start > 0, lseek(file.raw, 0, SEEK_CUR) == start {
                        // The server does not do ranges: from the beginning.
                        ftruncate(file.raw, 0)
                        lseek(file.raw, 0, SEEK_SET)
                        have = 0
                    }
                    guard size <= 0 || have + Int64(piece.count) <= size else { return false }
                    guard write(file.raw, piece.baseAddress, piece.count) == piece.count else {
                        writeError = errno
                        return false
                    }
                    have += Int64(piece.count)
                    isCancelled = !progress(have)
                    return !isCancelled
                }
            }
            if isCancelled { throw SkalaError(.cancelled, "cancelled") }
            if writeError != 0 { throw KernelError("write", path, errno: writeError).asSkalaError }
            if answer.failure == nil,
                answer.status == 200 || answer.status == 206 || (answer.status == 416 && have == size)
            {
                let found = try SHA256Check.digest(ofFile: path)
                if found == digest { return }
                // Bytes were damaged on the way: none of them can be trusted.
                unlink(path)
                guard attempt + 1 < RegistryClient.retryLimit else {
                    throw SkalaError(
                        .invalid, "verification failed for digest \(digest): what the registry sent has \(found)")
                }
            } else if answer.status == 404 {
                throw SkalaError(
                    .notFound, "blob \(digest) of \(reference.familiar) not found: blob unknown to registry")
            } else if answer.status >= 400, answer.status < 500, answer.status != 429, answer.status != 416 {
                throw failure(answer, [], digest)
            }
            attempt += 1
            guard attempt < RegistryClient.retryLimit else {
                throw SkalaError(
                    .unavailable,
                    "cannot fetch blob \(digest) after \(attempt) tries: \(answer.failure ?? "status \(answer.status)")"
                )
            }
            usleep(UInt32(100_000 << attempt))
        }
    }

    /// Whether the repository has the blob.
    func has(blob digest: String) throws -> Bool {
        let answer = try authorized(HTTPCall(method: "HEAD", url: "\(base)/blobs/\(digest)"), push: true) { call in
            call.perform { _, _ in true }
        }
        if answer.status == 0 { throw failure(answer, [], digest) }
        return answer.status == 200
    }

    /// Sends a blob in one piece.
    func upload(blob digest: String, from path: String, _ progress: @escaping (Int64) -> Bool) throws {
        let opened = try authorized(HTTPCall(method: "POST", url: "\(base)/blobs/uploads/"), push: true) { call in
            call.perform { _, _ in true }
        }
        guard opened.status == 202, let location = opened.headers["location"] else {
            throw failure(opened, [], digest, push: true)
        }
        let separator = location.contains("?") ? "&" : "?"
        var url = location + separator + "digest=" + digest
        // A location without a server is on this one.
        if location.hasPrefix("/") { url = base.split(separator: "/").prefix(2).joined(separator: "//") + url }
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        let size = Int64(lseek(file.raw, 0, SEEK_END))
        var text: [UInt8] = []
        let sent = try authorized(
            HTTPCall(method: "PUT", url: url, headers: ["Content-Type: application/octet-stream", "Expect:"]),
            push: true
        ) { call in
            lseek(file.raw, 0, SEEK_SET)
            var call = call
            call.upload = (file.raw, size)
            return call.perform(
                onBody: { _, piece in
                    text.append(contentsOf: piece.prefix(4096))
                    return true
                }, onProgress: progress)
        }
        guard sent.status == 201 else { throw failure(sent, text, digest, push: true) }
    }

    /// Sends a manifest under a tag or digest.
    func upload(manifest path: String, size: Int64, type: String, as name: String) throws {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        let call = HTTPCall(
            method: "PUT", url: "\(base)/manifests/\(name)", headers: ["Content-Type: \(type)", "Expect:"])
        var text: [UInt8] = []
        let answer = try authorized(call, push: true) { call in
            lseek(file.raw, 0, SEEK_SET)
            var call = call
            call.upload = (file.raw, size)
            return call.perform { _, piece in
                text.append(contentsOf: piece.prefix(4096))
                return true
            }
        }
        guard answer.status == 201 else { throw failure(answer, text, name, push: true) }
    }

    // MARK: authorization

    /// Makes a request; when the registry asks for authorization, gets it and tries once more. The status is 0 when
    /// there was no answer.
    private func authorized(
        _ call: HTTPCall, push: Bool = false, _ perform: (HTTPCall) -> HTTPCall.Answer
    ) throws -> HTTPCall.Answer {
        var call = call
        let plain = call.headers
        if let authorization { call.headers.append("Authorization: \(authorization)") }
        let answer = perform(call)
        guard answer.status == 401, let challenge = answer.headers["www-authenticate"] else { return answer }
        authorization = try authorize(challenge, push: push)
        call.headers = plain + ["Authorization: \(authorization ?? "")"]
        return perform(call)
    }

    private func authorize(_ challenge: String, push: Bool) throws -> String {
        let denied = denied(push: push)
        if challenge.lowercased().hasPrefix("basic") {
            guard let credentials else { throw denied }
            return credentials.basic
        }
        let fields = RegistryClient.fields(challenge)
        guard let realm = fields["realm"] else { throw denied }
        let actions = push ? "pull,push" : "pull"
        var url = realm + (realm.contains("?") ? "&" : "?") + "scope=repository:\(reference.path):\(actions)"
        if let service = fields["service"] {
            url += "&service=" + service.split(separator: " ").joined(separator: "%20")
        }
        var call = HTTPCall(url: url)
        if let credentials, !credentials.username.isEmpty { call.headers.append("Authorization: \(credentials.basic)") }
        var body: [UInt8] = []
        let answer = call.perform { _, piece in
            body.append(contentsOf: piece)
            return body.count < 1 << 20
        }
        guard answer.status == 200 else { throw denied }
        let document = try JSON(parsing: body)
        guard let token = document["token"].string ?? document["access_token"].string else { throw denied }
        return "Bearer " + token
    }

    /// `Bearer realm="…",service="…"` as names and values.
    static func fields(_ challenge: String) -> [String: String] {
        var fields: [String: String] = [:]
        var rest = challenge.drop { $0 != " " }.dropFirst()
        while let equals = rest.firstIndex(of: "=") {
            let name = rest[..<equals].filter { $0 != "," && $0 != " " }
            rest = rest[rest.index(after: equals)...]
            let isQuoted = rest.first == "\""
            if isQuoted { rest = rest.dropFirst() }
            let value = rest.prefix { isQuoted ? $0 != "\"" : $0 != "," }
            fields[name.lowercased()] = String(value)
            rest = rest.dropFirst(value.count + 1)
        }
        return fields
    }

    private func denied(push: Bool) -> SkalaError {
        let text =
            push
            ? "denied: requested access to the resource is denied"
            : "pull access denied for \(reference.familiarRepository), repository does not exist or may require "
                + "'docker login'"
        return SkalaError(.unauthorized, text)
    }

    private func failure(
        _ answer: HTTPCall.Answer, _ body: [UInt8], _ name: String, push: Bool = false
    ) -> SkalaError {
        let error = (try? JSON(parsing: body))?["errors"][0] ?? .null  // many answers have no such document
        let text = error["message"].string ?? answer.failure ?? "status \(answer.status)"
        switch answer.status {
        case 0: return SkalaError(.unavailable, "cannot reach \(base): \(text)")
        case 401: return denied(push: push)
        case 403: return SkalaError(.forbidden, "denied: \(text)")
        case 404 where error["code"] == "NAME_UNKNOWN":
            return SkalaError(
                .notFound, "repository \(reference.familiarRepository) not found: name unknown: \(text)")
        case 404:
            return SkalaError(.notFound, "manifest for \(reference.familiar) not found: manifest unknown: \(text)")
        default: return SkalaError(.unavailable, "registry \(reference.domain): \(name): \(text)")
        }
    }
}
