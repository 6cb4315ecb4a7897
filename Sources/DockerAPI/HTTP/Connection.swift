import Base
import NIOCore

/// One client's connection: requests in, responses out, one at a time.
///
///     idle ── head ──▶ exchange ── answered and received ──▶ idle
///                         │  │
///                         │  └── hijack ──▶ hijacked ──▶ lingering ──▶ closed
///                         └── must close ──────────────▶ lingering
///
/// Bytes behind the current request stay in `received` unread, and the socket is not read while they wait: a client that
/// sends ahead is slowed by the kernel, and a hijacked connection finds every early byte.
final class Connection: ChannelInboundHandler, @unchecked Sendable {
    // @unchecked: all variables belong to the event loop `loop`; calls from other threads hop onto it first.
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase {
        case idle
        case exchange(Exchange)
        /// The pipe carries the raw stream's input; the exchange's own ends with the request's body.
        case hijacked(Exchange, BytePipe)
        /// Output has ended; input is thrown away so that the last response is not lost to a reset.
        case lingering
        case closed
    }

    /// What is left of an unread body up to this size is received and thrown away, to keep the connection; more closes it.
    static let maximumDrain = 256 << 10
    /// What is received and thrown away at the end, while the client may still be reading the last response.
    static let maximumLinger = 4 << 20

    let service: Service
    let loop: any EventLoop
    private(set) var context: ChannelHandlerContext?
    var phase = Phase.idle
    private var parser = RequestParser()
    private var received = ByteBuffer()
    /// The client has closed its sending side.
    private(set) var inputHasEnded = false
    private var isStopping = false
    private var lingered = 0
    private var deadline: Scheduled<Void>?
    let onEnd: @Sendable (Connection) -> Void

    init(service: Service, loop: any EventLoop, onEnd: @escaping @Sendable (Connection) -> Void) {
        self.service = service
        self.loop = loop
        self.onEnd = onEnd
    }

    // MARK: Events of the channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        end()
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        readIfWanted()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        if case .lingering = phase {
            lingered += buffer.readableBytes
            return
        }
        if received.readableBytes == 0 { received = buffer } else { received.writeBuffer(&buffer) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        advance()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            inputHasEnded = true
            // Whoever follows a stream and ends the input has gone, as far as TCP shows it at all. A request under way
            // is still answered.
            if case .exchange(let exchange) = phase, exchange.isStreaming { exchange.leave() }
            advance()
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The socket is broken, or TLS is: nothing can be answered on it.
        context.close(promise: nil)
    }

    // MARK: Progress

    /// Does what the received bytes allow, then reads more where they are wanted.
    func advance() {
        while step() {}
        readIfWanted()
    }

    /// One step; false when nothing more can be done with what is there.
    private func step() -> Bool {
        switch phase {
        case .idle: return stepIdle()
        case .exchange(let exchange): return stepExchange(exchange)
        case .hijacked(let exchange, let input):
            if !exchange.isReceived { return receive(exchange) }
            guard received.readableBytes > 0, input.hasRoom else {
                if inputHasEnded, received.readableBytes == 0 { input.finish() }
                return false
            }
            input.push(received.readBytes(length: min(received.readableBytes, BytePipe.highWaterMark)) ?? [])
            return true
        case .lingering:
            if inputHasEnded || lingered > Connection.maximumLinger { closeNow() }
            return false
        case .closed: return false
        }
    }

    private func stepIdle() -> Bool {
        do {
            switch try parser.next(&received) {
            case .head(let head):
                disarm()
                begin(head)
                return true
            case .needMore, .body, .end:
                if inputHasEnded || (isStopping && received.readableBytes == 0) {
                    closeNow()
                } else if received.readableBytes > 0 {
                    arm(service.limits.headDeadline) { $0.refuse(status: 408, "request head not received in time") }
                } else {
                    // Gives the memory of a large request back; an idle connection holds none.
                    received = ByteBuffer()
                }
                return false
            }
        } catch {
            disarm()
            refuse(status: error.status, error.message)
            return false
        }
    }

    private func stepExchange(_ exchange: Exchange) -> Bool {
        if exchange.isReceived {
            guard exchange.isAnswered else { return false }
            return conclude(exchange)
        }
        if !exchange.isDiscarding, !exchange.input.hasRoom { return false }
        return receive(exchange)
    }

    /// Takes one event of the request's body.
    private func receive(_ exchange: Exchange) -> Bool {
        do {
            switch try parser.next(&received) {
            case .body(let bytes):
                guard exchange.isDiscarding else {
                    exchange.input.push(bytes)
                    return true
                }
                exchange.drained += bytes.count
                if exchange.drained > Connection.maximumDrain {
                    beginClose()
                    return false
                }
                return true
            case .end:
                exchange.isReceived = true
                exchange.input.finish()
                return true
            case .needMore, .head:
                if inputHasEnded { breakOff(exchange, "the client closed the connection inside the request body") }
                return false
            }
        } catch {
            breakOff(exchange, error.message)
            return false
        }
    }

    /// The request's body cannot be received to its end.
    private func breakOff(_ exchange: Exchange, _ message: String) {
        exchange.input.finish(.failure(SkalaError(.invalid, message)))
        exchange.isReceived = true
        exchange.closesAfterwards = true
        if exchange.isAnswered { beginClose() }
        if case .hijacked = phase { closeNow() }
    }

    private func begin(_ head: RequestHead) {
        let input = BytePipe(demand: { [weak self] in self?.demand() })
        let exchange = Exchange(head: head, input: input)
        if isStopping { exchange.closesAfterwards = true }
        phase = .exchange(exchange)
        exchange.task = Task { await self.serve(exchange) }
    }

    /// The response is complete: the next request, or the end.
    func answered(_ exchange: Exchange) {
        guard case .exchange(let current) = phase, current === exchange else { return }
        exchange.isAnswered = true
        exchange.task = nil
        exchange.forgetCallbacks()
        if !exchange.isReceived {
            exchange.isDiscarding = true
            exchange.input.abandon()
            // Who still waits for "100 Continue" may or may not send the body now: nobody can tell them apart.
            if exchange.owesContinue || exchange.closesAfterwards {
                beginClose()
                return
            }
            arm(service.limits.headDeadline) { $0.beginClose() }
        }
        advance()
    }

    private func conclude(_ exchange: Exchange) -> Bool {
        disarm()
        if exchange.closesAfterwards || isStopping {
            beginClose()
            return false
        }
        phase = .idle
        return true
    }

    /// The reader of the body (or of the hijacked stream) wants bytes.
    func demand() {
        loop.execute {
            if case .exchange(let exchange) = self.phase, exchange.owesContinue, !exchange.isAnswering {
                exchange.owesContinue = false
                self.write(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
            }
            self.advance()
        }
    }

    private func readIfWanted() {
        guard !inputHasEnded, let context else { return }
        let isWanted =
            switch phase {
            case .idle, .lingering: true
            case .exchange(let exchange):
                !exchange.isReceived && (exchange.isDiscarding || exchange.input.hasRoom)
            case .hijacked(let exchange, let input): !exchange.isReceived || input.hasRoom
            case .closed: false
            }
        if isWanted { context.read() }
    }

    // MARK: Ends

    /// Ends the output and closes when the client has too, or after the limit for it.
    func beginClose() {
        switch phase {
        case .lingering, .closed: return
        case .idle, .exchange, .hijacked: break
        }
        phase = .lingering
        received.clear()
        context?.close(mode: .output, promise: nil)
        arm(service.limits.lingerDeadline) { $0.closeNow() }
        advance()
    }

    /// Closes without regard to what is under way. From any thread.
    func closeNow() {
        guard loop.inEventLoop else {
            loop.execute { self.closeNow() }
            return
        }
        context?.close(promise: nil)
    }

    /// Lets the request under way finish, cancels endless streams, closes an idle connection. From any thread.
    func stopGracefully() {
        loop.execute {
            self.isStopping = true
            if case .exchange(let exchange) = self.phase {
                exchange.closesAfterwards = true
                if exchange.isAnswering, exchange.isCancellable { exchange.task?.cancel() }
            }
            self.advance()
        }
    }

    private func end() {
        disarm()
        switch phase {
        case .closed: return
        case .exchange(let exchange):
            exchange.leave()
            exchange.input.finish(.failure(Connection.clientGone))
        case .hijacked(let exchange, let input):
            // What the client had sent before it went is still delivered.
            if exchange.isReceived { input.push(received.readBytes(length: received.readableBytes) ?? []) }
            exchange.leave()
            input.finish()
        case .idle, .lingering: break
        }
        phase = .closed
        received = ByteBuffer()
        onEnd(self)
    }

    static let clientGone = SkalaError(.cancelled, "the client has closed the connection")

    private func arm(_ time: Duration, _ body: @escaping @Sendable (Connection) -> Void) {
        guard deadline == nil else { return }
        deadline = loop.scheduleTask(in: TimeAmount(time)) { [weak self] in
            guard let self else { return }
            self.deadline = nil
            body(self)
        }
    }

    private func disarm() {
        deadline?.cancel()
        deadline = nil
    }
}
