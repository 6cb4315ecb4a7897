import Base
import CCurl
import Glibc
import Kernel
import OCI

/// Talks to one repository of one registry (distribution specification 1.1). Blocking; used by one pull or push.
final class RegistryClient {
    /// A registry that goes on with further pages for ever is not believed.
    private static let pageLimit = 1000

    let reference: Reference
    /// `https://registry.example.org`.
    let server: String
    let base: String
    let credentials: RegistryCredentials?
    /// The header's value, once the registry has asked for one.
    var authorization: String?
    /// What stands for the user at the token server; a server may give a new one for the old.
    var identityToken: String

    static func initialize() { ccurl_initialize() }

    /// - Parameter mirror: the base URL of a mirror to ask in place of the registry.
    init(_ reference: Reference, credentials: RegistryCredentials?, mirror: String? = nil) {
        self.reference = reference
        self.credentials = mirror == nil ? credentials : nil
        let host = reference.domain == Reference.defaultDomain ? "registry-1.docker.io" : reference.domain
        server = mirror ?? (RegistryClient.isLoopback(host) ? "http://" : "https://") + host
        base = "\(server)/v2/\(reference.path)"
        identityToken = self.credentials?.identityToken ?? ""
        if let token = self.credentials?.registryToken, !token.isEmpty { authorization = "Bearer " + token }
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

    func get(
        _ url: String, _ headers: [String], limit: Int, for access: Access = .pull
    ) throws -> (answer: HTTPCall.Answer, body: [UInt8]) {
        var body: [UInt8] = []
        let answer = try authorized(HTTPCall(url: url, headers: headers), for: access) { call in
            body = []
            return call.perform { _, piece in
                body.append(contentsOf: piece)
                return body.count <= limit
            }
        }
        return (answer, body)
    }

    // MARK: blobs

    /// Whether the repository has the blob.
    func has(blob digest: String) throws -> Bool {
        let answer = try authorized(HTTPCall(method: "HEAD", url: "\(base)/blobs/\(digest)"), for: .push) { call in
            call.perform { _, _ in true }
        }
        if answer.status == 0 { throw failure(answer, [], digest) }
        return answer.status == 200
    }

    /// Sends a blob in one piece.
    func upload(blob digest: String, from path: String, _ progress: @escaping (Int64) -> Bool) throws {
        let opened = try authorized(HTTPCall(method: "POST", url: "\(base)/blobs/uploads/"), for: .push) { call in
            call.perform { _, _ in true }
        }
        guard opened.status == 202, let location = opened.headers["location"] else {
            throw failure(opened, [], digest, for: .push)
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
            for: .push
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
        guard sent.status == 201 else { throw failure(sent, text, digest, for: .push) }
    }

    /// Sends a manifest under a tag or digest.
    func upload(manifest path: String, size: Int64, type: String, as name: String) throws {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        let call = HTTPCall(
            method: "PUT", url: "\(base)/manifests/\(name)", headers: ["Content-Type: \(type)", "Expect:"])
        var text: [UInt8] = []
        let answer = try authorized(call, for: .push) { call in
            lseek(file.raw, 0, SEEK_SET)
            var call = call
            call.upload = (file.raw, size)
            return call.perform { _, piece in
                text.append(contentsOf: piece.prefix(4096))
                return true
            }
        }
        guard answer.status == 201 else { throw failure(answer, text, name, for: .push) }
    }

    // MARK: errors

    func failure(
        _ answer: HTTPCall.Answer, _ body: [UInt8], _ name: String, for access: Access = .pull
    ) -> SkalaError {
        let error = (try? JSON(parsing: body))?["errors"][0] ?? .null  // many answers have no such document
        let text = error["message"].string ?? answer.failure ?? "status \(answer.status)"
        switch answer.status {
        case 0: return SkalaError(.unavailable, "cannot reach \(base): \(text)")
        case 401: return denied(access)
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
