import Base
import Kernel
import Synchronization

/// Hands every event to every listener, and keeps the last ones for `--since`.
public final class EventBus: Sendable {
    /// As many past events as Docker keeps.
    static let historyLimit = 256
    /// A listener that falls this many events behind loses the oldest ones.
    static let queueLimit = 4096

    private struct State {
        var history: [Event] = []
        var listeners: [Int: AsyncStream<Event>.Continuation] = [:]
        var next = 0
        /// By type and action.
        var counts: [[String]: Int64] = [:]
    }

    private let state = Mutex(State())

    public init() {}

    public func publish(_ type: String, _ action: String, _ actor: String, _ attributes: [String: String]) {
        let event = Event(type: type, action: action, actor: actor, attributes: attributes, time: SystemClock.now())
        let listeners = state.withLock { state in
            state.history.append(event)
            // Of `exec_start: COMMAND` the first word: there are not as many as there are commands.
            state.counts[[type, String(action.prefix { $0 != ":" })], default: 0] += 1
            if state.history.count > EventBus.historyLimit { state.history.removeFirst() }
            return Array(state.listeners.values)
        }
        for listener in listeners { listener.yield(event) }
    }

    /// How many there were, sorted.
    public var counts: [(type: String, action: String, count: Int64)] {
        state.withLock { $0.counts }.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map {
            (type: $0.key[0], action: $0.key[1], count: $0.value)
        }
    }

    /// Past events and those to come, in order and without a gap. The stream ends when its task is cancelled.
    public func listen() -> (past: [Event], stream: AsyncStream<Event>) {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Event.self, bufferingPolicy: .bufferingNewest(EventBus.queueLimit))
        let (number, past) = state.withLock { state in
            state.next += 1
            state.listeners[state.next] = continuation
            return (state.next, state.history)
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.listeners.removeValue(forKey: number) }
        }
        return (past, stream)
    }
}
