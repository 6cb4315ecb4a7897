import Base
import Client
import Glibc
import Kernel

/// Follows a container from this program's standard streams: attach, and its end.
///
/// Attaching and waiting each have a connection of their own, both asked for before the container starts, so that no
/// output and no exit is missed; requests in between go over the client's.
struct ContainerSession {
    let client: EngineClient
    let id: String
    let hasTerminal: Bool
    let readsInput: Bool
    var showsOutput = true
    var showsErrors = true
    let detachKeys: DetachKeys
    let passesSignals: Bool

    /// - Parameters:
    ///   - condition: which end is waited for: `removed`, `next-exit` or `not-running`.
    ///   - start: makes the container run, when everything is connected.
    /// - Returns: the container's exit status; nil when the user left it running.
    func follow(until condition: String, start: () throws -> Void) throws -> Int32? {
        let attaching = try client.begin(
            .post(
                API.container(id, "/attach"),
                query: [
                    ("stream", "1"), ("stdin", readsInput ? "1" : "0"), ("stdout", showsOutput ? "1" : "0"),
                    ("stderr", showsErrors ? "1" : "0"),
                ]), upgrades: true)
        let waiting = try client.begin(.post(API.container(id, "/wait"), query: [("condition", condition)]))
        let stream = try client.finishUpgrade(attaching)
        let ending = try client.finish(waiting)
        let signals = try SignalQueue(
            (passesSignals || hasTerminal ? SignalName.forwarded : []) + (hasTerminal ? [SIGWINCH] : []))
        // From here on, until the settings are back, nothing may end this program but a return.
        let saved = hasTerminal && readsInput ? Terminal(descriptor: 0).makeRaw() : nil
        defer { saved?.restore() }
        try start()
        var terminations = TerminationCount(id: id)
        func handle(_ signal: Int32) throws {
            try terminations.take(signal)
            try pass(signal, signals, &terminations)
        }
        let relay = StreamRelay(
            stream: stream, isRaw: hasTerminal, input: readsInput ? 0 : nil,
            detachKeys: hasTerminal && readsInput ? detachKeys : nil, signals: signals, onSignal: handle)
        if try relay.run() == .detached { return nil }
        try signals.wait(for: ending.descriptor, handle)
        let answer = try ending.json()
        if let message = answer["Error"]["Message"].string, !message.isEmpty { throw SkalaError(.system, message) }
        return Int32(truncatingIfNeeded: answer["StatusCode"].int ?? 0)
    }

    private func pass(_ signal: Int32, _ signals: SignalQueue, _ terminations: inout TerminationCount) throws {
        var waiting = [signal]
        while !waiting.isEmpty {
            let signal = waiting.removeFirst()
            if signal == SIGWINCH {
                resize()
                continue
            }
            let request = HTTPRequest.post(API.container(id, "/kill"), query: [("signal", "\(signal)")])
            // The container may have ended in between; then there is nothing to pass the signal to.
            guard let answer = try? client.begin(request) else { continue }
            // An engine that does not answer must not keep the user here.
            try signals.wait(for: answer.descriptor.raw) { (signal: Int32) -> Void in
                try terminations.take(signal)
                waiting.append(signal)
            }
            _ = try? client.finish(answer).json()
        }
    }

    /// Gives the container's terminal the size of ours.
    func resize(extraRows: Int = 0) {
        guard let size = Terminal(descriptor: 1).size else { return }
        // A size that cannot be set now is set at the next change.
        _ = try? client.json(
            .post(
                API.container(id, "/resize"), query: [("h", "\(size.rows + extraRows)"), ("w", "\(size.columns)")]))
    }
}

extension Arguments {
    /// The keys `--detach-keys` names.
    func detachKeys() throws(SkalaError) -> DetachKeys {
        try self["detach-keys"].map { text throws(SkalaError) in try DetachKeys(parsing: text) } ?? DetachKeys()
    }

    /// `--sig-proxy`, which is on unless it is turned off.
    var passesSignals: Bool { !has("sig-proxy") || flag("sig-proxy") }
}
