import CLinux
import Glibc

/// The terminal at a descriptor.
struct Terminal {
    let descriptor: Int32

    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// Rows and columns; nil when there is no terminal, or it has no size.
    var size: (rows: Int, columns: Int)? {
        var size = winsize()
        guard cl_ioctl(descriptor, UInt(TIOCGWINSZ), &size) >= 0, size.ws_row > 0, size.ws_col > 0 else { return nil }
        return (Int(size.ws_row), Int(size.ws_col))
    }

    /// The settings before a change, which `restore` brings back.
    struct Saved {
        fileprivate let descriptor: Int32
        fileprivate let settings: termios

        func restore() {
            var settings = settings
            tcsetattr(descriptor, TCSADRAIN, &settings)
        }
    }

    /// Passes every key on as it is: no echo, no lines, no signals. Nil when there is no terminal.
    func makeRaw() -> Saved? {
        change { cfmakeraw(&$0) }
    }

    /// Keys are read one by one without echo; Ctrl-C still interrupts.
    func readKeys() -> Saved? { change { $0.c_lflag &= ~tcflag_t(ICANON | ECHO) } }

    /// A line is read without being shown.
    func hideInput() -> Saved? { change { $0.c_lflag &= ~tcflag_t(ECHO) } }

    private func change(_ body: (inout termios) -> Void) -> Saved? {
        var settings = termios()
        guard tcgetattr(descriptor, &settings) == 0 else { return nil }
        let saved = Saved(descriptor: descriptor, settings: settings)
        body(&settings)
        return tcsetattr(descriptor, TCSADRAIN, &settings) == 0 ? saved : nil
    }
}
