/// A terminal for the container needs one here, as far as the user types into it.
enum TerminalCheck {
    static func run(_ arguments: Arguments, isAttached: Bool) throws {
        guard isAttached, arguments.flag("tty"), arguments.flag("interactive"), !Terminal.isTerminal(0) else { return }
        throw CommandFailure(1, "the input is not a terminal: leave out -t, or run this from one")
    }
}
