import Base
import NIOCore

/// The way of a response.
extension Connection {
    /// Answers one request: from the handler to the last byte.
    func serve(_ exchange: Exchange) async {
        let response = await answer(exchange)
        switch response.body {
        case .none: sendWhole(response, [], of: exchange)
        case .bytes(let bytes): sendWhole(response, bytes, of: exchange)
        case .stream(let write): await stream(response, write, of: exchange)
        case .hijack(let contentType, let body): await hijack(response, contentType, body, of: exchange)
        }
    }

    private func answer(_ exchange: Exchange) async -> Response {
        do {
            return try await service.respond(try Request(exchange: exchange))
        } catch {
            let failure = skalaError(from: error)
            if failure.code == .system { service.report(failure, "\(exchange.head.method) \(exchange.head.target)") }
            return .error(failure)
        }
    }

    /// Answers what could not be parsed, and ends.
    func refuse(status: Int, _ message: String) {
        let body = (["message": .string(message)] as JSON).bytes
        let response = Response(status: status, headers: [("Content-Type", "application/json")], body: .bytes(body))
        var text = headText(response, framing: .length(body.count), closes: true)
        text += body
        write(text)
        beginClose()
    }

    // MARK: Whole responses

    private func sendWhole(_ response: Response, _ body: [UInt8], of exchange: Exchange) {
        loop.execute {
            guard self.isCurrent(exchange) else { return }
            // The client speaks another protocol next, or believes it does.
            if exchange.head.asksForUpgrade, response.status >= 400 { exchange.closesAfterwards = true }
            if !exchange.isReceived, exchange.owesContinue { exchange.closesAfterwards = true }
            exchange.isAnswering = true
            let hasNoBody = response.status == 204 || response.status == 304
            var bytes = self.headText(
                response, framing: hasNoBody ? .none : .length(body.count), closes: exchange.closesAfterwards,
                keepsAlive: exchange.head.minorVersion == 0)
            if exchange.head.method != "HEAD", !hasNoBody { bytes += body }
            self.write(bytes) { result in
                if case .success = result { self.answered(exchange) }
            }
        }
    }

    // MARK: Streams

    private func stream(
        _ response: Response, _ write: @Sendable (ResponseWriter) async throws -> Void, of exchange: Exchange
    ) async {
        do {
            try await onLoop { done in
                guard self.isCurrent(exchange) else { return done(.failure(Connection.clientGone)) }
                exchange.isAnswering = true
                exchange.isCancellable = true
                exchange.isStreaming = true
                exchange.isChunked = exchange.head.minorVersion == 1
                if !exchange.isChunked { exchange.closesAfterwards = true }
                let head = self.headText(
                    response, framing: exchange.isChunked ? .chunked : .none, closes: exchange.closesAfterwards)
                self.write(head, done)
                if self.inputHasEnded { exchange.leave() }
            }
            if exchange.head.method != "HEAD" {
                try await write(ResponseWriter(connection: self, exchange: exchange))
                if exchange.isChunked { try await writeRaw(Array("0\r\n\r\n".utf8), of: exchange) }
            }
            loop.execute { self.answered(exchange) }
        } catch {
            // Without its last chunk the response is visibly not whole.
            let failure = skalaError(from: error)
            if failure.code != .cancelled {
                service.report(failure, "\(exchange.head.method) \(exchange.head.target)")
            }
            closeNow()
        }
    }

    /// Writes a piece of a streamed body and waits until the kernel has it.
    func writeBody(_ bytes: [UInt8], of exchange: Exchange) async throws {
        if bytes.isEmpty { return }
        guard exchange.isChunked else { return try await writeRaw(bytes, of: exchange) }
        var chunk = Array((String(bytes.count, radix: 16) + "\r\n").utf8)
        chunk.reserveCapacity(chunk.count + bytes.count + 2)
        chunk += bytes
        chunk += [0x0D, 0x0A]
        try await writeRaw(chunk, of: exchange)
    }

    func writeRaw(_ bytes: [UInt8], of exchange: Exchange) async throws {
        if bytes.isEmpty { return }
        try await onLoop { done in
            guard self.isCurrent(exchange) else { return done(.failure(Connection.clientGone)) }
            self.write(bytes, done)
        }
    }

    // MARK: Hijack

    private func hijack(
        _ response: Response, _ contentType: String, _ body: @Sendable (HijackedConnection) async -> Void,
        of exchange: Exchange
    ) async {
        let input = BytePipe(demand: { [weak self] in self?.demand() })
        var response = response
        response.status = exchange.head.asksForRawStream ? 101 : 200
        response.headers.append(("Content-Type", contentType))
        do {
            let head = response
            try await onLoop { done in
                guard self.isCurrent(exchange) else { return done(.failure(Connection.clientGone)) }
                exchange.isAnswering = true
                // What no handler has read of the body is not part of the raw stream.
                exchange.isDiscarding = true
                exchange.input.abandon()
                self.phase = .hijacked(exchange, input)
                self.write(self.headText(head, framing: .upgrade, closes: false), done)
            }
            await body(HijackedConnection(connection: self, exchange: exchange, input: input))
        } catch {
            // The client has gone before the stream began: there is nobody to tell.
        }
        loop.execute {
            input.abandon()
            self.beginClose()
        }
    }

    func closeOutput(of exchange: Exchange) async {
        loop.execute {
            guard self.isCurrent(exchange) else { return }
            self.context?.close(mode: .output, promise: nil)
        }
    }

    // MARK: Helpers

    private func isCurrent(_ exchange: Exchange) -> Bool {
        switch phase {
        case .exchange(let current): current === exchange && !current.isAnswered
        case .hijacked(let current, _): current === exchange
        case .idle, .lingering, .closed: false
        }
    }

    /// Runs `body` on the event loop and waits until it calls its argument.
    private func onLoop(_ body: @escaping @Sendable (@escaping @Sendable (Result<Void, any Error>) -> Void) -> Void)
        async throws
    {
        try await withCheckedThrowingContinuation { continuation in
            loop.execute { body { continuation.resume(with: $0) } }
        }
    }

    /// Writes and flushes; `done` is called on the loop when the kernel has the bytes, or never will.
    func write(_ bytes: [UInt8], _ done: (@Sendable (Result<Void, any Error>) -> Void)? = nil) {
        guard let context else {
            done?(.failure(Connection.clientGone))
            return
        }
        var promise: EventLoopPromise<Void>?
        if let done {
            let made = loop.makePromise(of: Void.self)
            made.futureResult.whenComplete { done($0.mapError { _ in Connection.clientGone }) }
            promise = made
        }
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes)), promise: promise)
    }

    private enum Framing {
        case none
        case length(Int)
        case chunked
        case upgrade
    }

    private func headText(_ response: Response, framing: Framing, closes: Bool, keepsAlive: Bool = false) -> [UInt8] {
        var text = "HTTP/1.1 \(response.status) \(reasonPhrase(of: response.status))\r\n"
        for (name, value) in response.headers { text += "\(name): \(Connection.oneLine(value))\r\n" }
        switch framing {
        case .none: break
        case .length(let count): text += "Content-Length: \(count)\r\n"
        case .chunked: text += "Transfer-Encoding: chunked\r\n"
        case .upgrade: if response.status == 101 { text += "Connection: Upgrade\r\nUpgrade: tcp\r\n" }
        }
        if closes {
            text += "Connection: close\r\n"
        } else if keepsAlive {
            text += "Connection: keep-alive\r\n"
        }
        var bytes = Array(text.utf8)
        bytes += service.fixedHeaders
        bytes += service.date.line
        bytes += [0x0D, 0x0A]
        return bytes
    }

    /// A header's value must not bring a line of its own.
    private static func oneLine(_ value: String) -> String {
        guard value.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else { return value }
        return String(decoding: value.utf8.map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 }, as: UTF8.self)
    }
}

extension Request {
    /// - Throws: `SkalaError` `.invalid` for a path, query or version that cannot be served.
    init(exchange: Exchange) throws {
        let head = exchange.head
        var target = Substring(head.target)
        if let scheme = ["http://", "https://"].first(where: { target.hasPrefix($0) }) {
            // The absolute form (RFC 9112, section 3.2.2), which every server accepts.
            target = target.dropFirst(scheme.count).drop { $0 != "/" }
        }
        let end = target.firstIndex(of: "?") ?? target.endIndex
        let query = end == target.endIndex ? "" : target[target.index(after: end)...]
        let (version, path) = try APIVersion.split(path: try PercentEncoding.decode(target[..<end]))
        let length: Int64? =
            switch head.bodyLength {
            case .none: 0
            case .bytes(let count): count
            case .chunked: nil
            }
        self.init(
            method: head.method, path: path, query: try Query(parsing: query),
            headers: head.headers.map { ($0.name, $0.value) }, apiVersion: version,
            body: RequestBody(pipe: exchange.input, length: length))
    }
}
