import Base
import CCurl
import Glibc
import Kernel
import OCI

/// Who may do what (distribution specification: token authentication, and its OAuth2 form).
extension RegistryClient {
    /// What a token is asked for.
    enum Access { case pull, push, login }

    /// How this program is known to token servers.
    private static let clientID = "skala"

    /// Asks the registry whether it takes the credentials.
    ///
    /// - Throws: `.unauthorized` when it does not.
    /// - Returns: the identity token that the token server gave in place of the password; empty without one.
    func checkCredentials() throws -> String {
        let root = server + "/v2/"
        let refused = SkalaError(.unauthorized, "login attempt to \(root) failed with status: 401 Unauthorized")
        let answer: HTTPCall.Answer
        let body: [UInt8]
        do {
            (answer, body) = try get(root, [], limit: 1 << 20, for: .login)
        } catch let error as SkalaError where error.code == .unauthorized {
            // Its text is of a pull.
            throw refused
        }
        if answer.status == 401 { throw refused }
        guard answer.status == 200 else { throw failure(answer, body, root) }
        return identityToken
    }

    /// Makes a request; when the registry asks for authorization, gets it and tries once more. The status is 0 when
    /// there was no answer.
    func authorized(
        _ call: HTTPCall, for access: Access, _ perform: (HTTPCall) -> HTTPCall.Answer
    ) throws -> HTTPCall.Answer {
        var call = call
        let plain = call.headers
        if let authorization { call.headers.append("Authorization: \(authorization)") }
        let answer = perform(call)
        guard answer.status == 401, let challenge = answer.headers["www-authenticate"] else { return answer }
        let value = try authorize(challenge, access)
        authorization = value
        call.headers = plain + ["Authorization: \(value)"]
        return perform(call)
    }

    private func authorize(_ challenge: String, _ access: Access) throws -> String {
        if challenge.lowercased().hasPrefix("basic") {
            guard let credentials, !credentials.username.isEmpty else { throw denied(access) }
            return credentials.basic
        }
        let fields = RegistryClient.fields(challenge)
        guard let realm = fields["realm"] else { throw denied(access) }
        var body: [UInt8] = []
        let answer = tokenRequest(realm, service: fields["service"], access).perform { _, piece in
            body.append(contentsOf: piece)
            return body.count < 1 << 20
        }
        if answer.status == 0 {
            throw SkalaError(.unavailable, "cannot reach \(realm): \(answer.failure ?? "no answer")")
        }
        guard answer.status == 200 else { throw denied(access) }
        let document = try JSON(parsing: body)
        // Only where one is in use or was asked for: elsewhere it would change the way the next token is got.
        if access == .login || !identityToken.isEmpty, let token = document["refresh_token"].string, !token.isEmpty {
            identityToken = token
        }
        guard let token = document["token"].string ?? document["access_token"].string else { throw denied(access) }
        return "Bearer " + token
    }

    /// What a token server is asked: with an identity token by OAuth2, else by the older way that all servers know.
    private func tokenRequest(_ realm: String, service: String?, _ access: Access) -> HTTPCall {
        var items: [(name: String, value: String)] = []
        switch access {
        case .pull: items.append(("scope", "repository:\(reference.path):pull"))
        case .push: items.append(("scope", "repository:\(reference.path):pull,push"))
        case .login: break
        }
        if let service { items.append(("service", service)) }
        if !identityToken.isEmpty {
            items += [
                ("client_id", RegistryClient.clientID), ("grant_type", "refresh_token"),
                ("refresh_token", identityToken),
            ]
            if access == .login { items.append(("access_type", "offline")) }
            return HTTPCall(
                method: "POST", url: realm, headers: ["Content-Type: application/x-www-form-urlencoded"],
                body: Array(RegistryClient.form(items).utf8))
        }
        var headers: [String] = []
        if let credentials, !credentials.username.isEmpty {
            headers.append("Authorization: \(credentials.basic)")
            items.append(("account", credentials.username))
        }
        if access == .login { items += [("client_id", RegistryClient.clientID), ("offline_token", "true")] }
        return HTTPCall(url: realm + (realm.contains("?") ? "&" : "?") + RegistryClient.form(items), headers: headers)
    }

    private static func form(_ items: [(name: String, value: String)]) -> String {
        items.map { $0.name + "=" + PercentEncoding.encode($0.value, keeping: ":/,") }.joined(separator: "&")
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

    func denied(_ access: Access) -> SkalaError {
        let text =
            access == .push
            ? "denied: requested access to the resource is denied"
            : "pull access denied for \(reference.familiarRepository), repository does not exist or may require "
                + "'docker login'"
        return SkalaError(.unauthorized, text)
    }
}
