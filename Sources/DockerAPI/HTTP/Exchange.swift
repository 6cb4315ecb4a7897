import Synchronization

/// One request and its answer, on their connection.
///
/// Everything but `leave` belongs to the connection's event loop.
final class Exchange: @unchecked Sendable {
    // @unchecked: the variables are touched on the event loop only; what other threads need is in `departure`.
    let head: RequestHead
    let input: BytePipe
    var task: Task<Void, Never>?

    /// The request has been received to its end.
    var isReceived = false
    /// Received body bytes go nowhere; `drained` counts them.
    var isDiscarding = false
    var drained = 0
    /// The client waits for `100 Continue` before it sends the body.
    var owesContinue: Bool
    /// A response's head has been written.
    var isAnswering = false
    /// The response's body is written piece by piece.
    var isStreaming = false
    /// It is sent in chunks.
    var isChunked = false
    /// The response is complete.
    var isAnswered = false
    /// The connection ends after this response.
    var closesAfterwards: Bool
    /// The client's going ends the handler too: it only reads, or it is writing a stream.
    var isCancellable: Bool

    private struct Departure {
        var hasLeft = false
        var callbacks: [@Sendable () -> Void] = []
    }

    private let departure = Mutex(Departure())

    init(head: RequestHead, input: BytePipe) {
        self.head = head
        self.input = input
        owesContinue = head.expectsContinue && head.bodyLength != .none
        closesAfterwards = !head.keepsAlive
        isCancellable = head.method == "GET" || head.method == "HEAD"
    }

    var clientHasLeft: Bool { departure.withLock { $0.hasLeft } }

    /// Calls `body` once when the client leaves; at once when it has left already.
    func onLeave(_ body: @escaping @Sendable () -> Void) {
        let callNow = departure.withLock { state in
            if !state.hasLeft { state.callbacks.append(body) }
            return state.hasLeft
        }
        if callNow { body() }
    }

    /// The client has gone: nobody reads what is written any more.
    func leave() {
        let callbacks = departure.withLock { state in
            defer { state.callbacks = [] }
            state.hasLeft = true
            return state.callbacks
        }
        for callback in callbacks { callback() }
        if isCancellable { task?.cancel() }
    }

    /// The response is over: what waited for the client's going is let go.
    func forgetCallbacks() { departure.withLock { $0.callbacks = [] } }
}
