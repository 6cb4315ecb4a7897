import Glibc
import Kernel

/// Draws a text again and again in place until the user has seen enough.
struct LiveScreen {
    private let keys: Terminal.Saved?
    private let signals: SignalQueue

    /// Takes the terminal over; `close` gives it back.
    init() throws(KernelError) {
        signals = try SignalQueue([SIGINT, SIGTERM, SIGHUP, SIGWINCH])
        keys = Terminal.isTerminal(0) ? Terminal(descriptor: 0).readKeys() : nil
        // The other screen, so that what was there before comes back; no cursor.
        StandardStreams.output("\u{1B}[?1049h\u{1B}[?25l")
    }

    func close() {
        StandardStreams.output("\u{1B}[?25h\u{1B}[?1049l")
        keys?.restore()
    }

    /// Shows the text's first lines, as many and as wide as fit.
    func draw(_ text: String) {
        let size = Terminal(descriptor: 1).size ?? (rows: 24, columns: 80)
        var screen = "\u{1B}[H"
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).prefix(size.rows - 1)
        for line in lines { screen += "\(LiveScreen.cut(line, size.columns))\u{1B}[K\n" }
        StandardStreams.output(screen + "\u{1B}[J")
    }

    /// The first `columns` visible characters; colour codes take no room.
    static func cut(_ line: Substring, _ columns: Int) -> String {
        var text = ""
        var width = 0
        var isCode = false
        for character in line {
            if character == "\u{1B}" { isCode = true }
            if !isCode {
                if width == columns { continue }
                width += 1
            }
            text.append(character)
            if isCode, character.isLetter { isCode = false }
        }
        return text
    }

    enum Event: Equatable {
        /// The time has come.
        case turn
        case resized
        case key(UInt8)
        /// `q`, Ctrl-C, Ctrl-D, or the end of the input.
        case leave
    }

    /// Waits until it is time to draw again; false when the user wants to leave. Other keys mean nothing.
    func wait(until deadline: Int64) -> Bool {
        while true {
            switch next(until: deadline) {
            case .leave: return false
            case .turn, .resized: return true
            case .key: continue
            }
        }
    }

    /// Waits for what comes next.
    func next(until deadline: Int64) -> Event {
        while true {
            let left = deadline - SystemClock.monotonicNanoseconds()
            if left <= 0 { return .turn }
            var set = [pollfd(fd: keys == nil ? -1 : 0, POLLIN), pollfd(fd: signals.descriptor, POLLIN)]
            guard poll(&set, 2, Int32(clamping: (left + 999_999) / 1_000_000)) > 0 else { continue }
            while let signal = signals.next() { return signal == SIGWINCH ? .resized : .leave }
            if set[0].revents != 0 {
                var key: [UInt8] = [0]
                guard read(0, &key, 1) == 1, ![UInt8(ascii: "q"), UInt8(ascii: "Q"), 4].contains(key[0]) else {
                    return .leave
                }
                return .key(key[0])
            }
        }
    }
}
