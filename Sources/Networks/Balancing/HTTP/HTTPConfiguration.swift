import Base

/// HAProxy's configuration for a set of services.
struct HTTPConfiguration: Sendable {
    /// Absolute; holds the socket, certificates and the folder the process is locked in.
    let folder: String
    /// Whom the process runs as.
    let user: (uid: UInt32, gid: UInt32)
    let maximumConnections: Int
    var hasIPv6 = true

    static let backendPrefix = "service_"
    static func backend(_ id: String) -> String { backendPrefix + ResolvedService.word(id) }
    var socket: String { folder + "/socket" }
    var file: String { folder + "/haproxy.cfg" }
    /// All that the process sees of the host's files.
    var root: String { folder + "/root" }
    /// Where it tells what happens.
    var logSocket: String { root + "/log" }
    var holdScript: String { folder + "/hold.lua" }
    /// Up to so many requests of a service a second all are told, beyond that one of so many.
    static let toldRequests = 200
    static let toldShare = 25
    /// Requests of a service that are held, at most.
    static let heldRequests = 1000

    /// Holds a request as long as the backend has no member. HAProxy has no waiting room of its own for that: a backend
    /// without a server answers at once. A process that was replaced learns of no member any more: it hands what it
    /// holds on to its successor.
    static let hold = """
        core.register_action("skala_hold", {"http-req"}, function(txn, backend, seconds)
            local waiting = txn.f:be_conn(backend)
            if waiting > \(heldRequests) then return end
            -- The first ones wake the service; more would only say the same.
            if waiting <= 8 then core.log(core.notice, "hold " .. backend) end
            local deadline = core.now().sec + tonumber(seconds)
            while txn.f:nbsrv(backend) == 0 and core.now().sec < deadline do
                local stopping = txn.f:stopping()
                if stopping == 1 or stopping == true then return txn:set_var("txn.again", 1) end
                core.msleep(txn.f:be_conn(backend) < 50 and 10 or 50)
            end
        end, 2)

        """

    /// A certificate's file: by its contents, so that services share it.
    func certificateFile(_ certificate: String) -> String {
        // FNV-1a; a name only, the file's own contents count.
        let hash = certificate.utf8.reduce(UInt64(14_695_981_039_346_656_037)) {
            ($0 ^ UInt64($1)) &* 1_099_511_628_211
        }
        return "\(folder)/\(String(hash, radix: 16)).pem"
    }

    func text(_ services: [HTTPService], _ slots: [String: HTTPSlots]) -> String {
        let services = services.sorted { $0.id < $1.id }
        var listeners: [String: [(HTTPService, HTTPService.Listener)]] = [:]
        for service in services {
            for listener in service.listeners {
                listeners["\(listener.address)_\(listener.port)", default: []].append((service, listener))
            }
        }
        let redirects = Set(services.flatMap { $0.listeners.map(\.redirectsTo) }).subtracting([0]).sorted()
        let fronts = listeners.sorted { $0.key < $1.key }.map { frontend($0.key, $0.value) }
        let backs = services.map { backend($0, slots[$0.id]?.members ?? []) }
        let holds = services.contains { $0.hold > 0 }
        return head(holds: holds) + redirects.map(redirect).joined() + fronts.joined() + backs.joined()
    }

    private func head(holds: Bool) -> String {
        """
        global
            stats socket \(socket) mode 600 level admin expose-fd listeners
            uid \(user.uid)
            gid \(user.gid)
            chroot \(root)
            hard-stop-after 1h
            maxconn \(maximumConnections)
            ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
            log /log format raw local0 info
            log stderr format raw daemon warning\(holds ? "\n    lua-load \(holdScript)" : "")

        defaults
            mode http
            log-format "%b %Tw %Tc %Tr"
            timeout connect 1s
            timeout client 60s
            timeout server 60s
            timeout queue 5s
            timeout http-request 10s
            timeout http-keep-alive 60s
            timeout tunnel 1h
            option redispatch 1
            option forwardfor

        backend nowhere
            http-request return status 404 content-type text/plain string "no service has this host and path"


        """
    }

    /// The most particular route first: a longer path, then a host before none, then a name before a pattern.
    private func frontend(_ name: String, _ users: [(service: HTTPService, listener: HTTPService.Listener)]) -> String {
        var text = "frontend port_\(ResolvedService.word(name))\n"
        let listener = users[0].listener
        let certificates = Set(users.map(\.listener.certificate)).subtracting([""]).sorted()
        // Each family by itself: a client's IPv4 address is to be seen as one.
        let addresses =
            listener.address.isEmpty
            ? ["0.0.0.0"] + (hasIPv6 ? ["[::]"] : [])
            : [listener.address.contains(":") ? "[\(listener.address)]" : listener.address]
        for address in addresses {
            text += "    bind \(address):\(listener.port)" + (address.hasPrefix("[") ? " v6only" : "")
            if !certificates.isEmpty {
                text += " ssl" + certificates.map { " crt \(certificateFile($0))" }.joined() + " alpn h2,http/1.1"
            }
            text += "\n"
        }
        text += "    log global\n"
        text += "    http-request set-header X-Forwarded-Proto \(certificates.isEmpty ? "http" : "https")\n"
        let routes = users.flatMap { user in
            let port = user.listener.redirectsTo
            let target = port == 0 ? HTTPConfiguration.backend(user.service.id) : "redirect_\(port)"
            return (user.service.routes.isEmpty ? [HTTPService.Route()] : user.service.routes).map { ($0, target) }
        }.sorted { a, b in
            func rank(_ route: HTTPService.Route) -> (Int, Int) {
                (route.path.utf8.count, route.host.isEmpty ? 0 : route.host.hasPrefix("*") ? 1 : 2)
            }
            return rank(a.0) == rank(b.0) ? (a.0.host, a.1) < (b.0.host, b.1) : rank(a.0) > rank(b.0)
        }
        for (route, target) in routes {
            var conditions: [String] = []
            if route.host.hasPrefix("*") {
                conditions.append("{ req.hdr(host),field(1,:),lower -m end \(route.host.dropFirst().lowercased()) }")
            } else if !route.host.isEmpty {
                conditions.append("{ req.hdr(host),field(1,:),lower -m str \(route.host.lowercased()) }")
            }
            let path = route.path.hasSuffix("/") ? String(route.path.dropLast()) : route.path
            var alternatives = [conditions.joined(separator: " ")]
            if !path.isEmpty {
                alternatives = ["{ path \(path) }", "{ path_beg \(path)/ }"].map {
                    (conditions + [$0]).joined(separator: " ")
                }
            }
            text += "    use_backend \(target)"
            text += alternatives == [""] ? "\n" : " if " + alternatives.joined(separator: " or ") + "\n"
        }
        return text + "    default_backend nowhere\n\n"
    }

    private func redirect(to port: UInt16) -> String {
        """
        backend redirect_\(port)
            http-request redirect code 308 location https://%[req.hdr(host),field(1,:)]\(port == 443 ? "" : ":\(port)")%[url]


        """
    }

    private func backend(_ service: HTTPService, _ slots: [HTTPService.Member?]) -> String {
        let balance =
            switch service.algorithm {
            case .roundRobin: "roundrobin"
            case .random: "random"
            case .sourceHash: "source\n    hash-type consistent"
            }
        let name = HTTPConfiguration.backend(service.id)
        var text = """
            backend \(name)
                balance \(balance)
                retries \(service.retries)

            """
        if service.hold > 0 {
            text += "    http-request lua.skala_hold \(name) \(service.hold) if { nbsrv(\(name)) eq 0 }\n"
        }
        // All while they are few, else a sample: beside a request the log's cost is not seen then.
        text += "    http-request set-log-level silent unless "
        text += "{ be_sess_rate(\(name)) lt \(HTTPConfiguration.toldRequests) } "
        text += "or { rand(\(HTTPConfiguration.toldShare)) eq 0 }\n"
        if service.repeatsRequests {
            text += "    retry-on conn-failure empty-response\n"
            text += "    http-request disable-l7-retry unless { method GET HEAD OPTIONS }\n"
        }
        if service.hold > 0, let listener = service.listeners.first(where: { $0.redirectsTo == 0 }) {
            // Without a weight it counts for no member.
            text += "    use-server again if { var(txn.again) -m int 1 }\n"
            text +=
                "    server again \(listener.address.isEmpty ? "127.0.0.1" : listener.address):\(listener.port) weight 0"
            text += listener.certificate.isEmpty ? "\n" : " ssl verify none\n"
        }
        if service.slowStart > 0 { text += "    default-server slowstart \(service.slowStart)s\n" }
        for (slot, member) in slots.enumerated() {
            let target = member.map { "\(HTTPConfiguration.address($0.address)):\($0.port) weight \($0.weight)" }
            text += "    server \(HTTPSlots.name(slot)) \(target ?? "127.0.0.1:1 disabled")\n"
        }
        return text + "\n"
    }

    private static func address(_ address: IPAddress) -> String {
        address.family == .v4 ? "\(address)" : "ipv6@\(address)"
    }
}
