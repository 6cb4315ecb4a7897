import Base
import Glibc

/// Signals by the names and numbers people write.
enum Signal {
    private static let numbers: [String: Int32] = [
        "HUP": SIGHUP, "INT": SIGINT, "QUIT": SIGQUIT, "ILL": SIGILL, "TRAP": SIGTRAP, "ABRT": SIGABRT, "BUS": SIGBUS,
        "FPE": SIGFPE, "KILL": SIGKILL, "USR1": SIGUSR1, "SEGV": SIGSEGV, "USR2": SIGUSR2, "PIPE": SIGPIPE,
        "ALRM": SIGALRM, "TERM": SIGTERM, "STKFLT": 16, "CHLD": SIGCHLD, "CONT": SIGCONT, "STOP": SIGSTOP,
        "TSTP": SIGTSTP, "TTIN": SIGTTIN, "TTOU": SIGTTOU, "URG": SIGURG, "XCPU": SIGXCPU, "XFSZ": SIGXFSZ,
        "VTALRM": SIGVTALRM, "PROF": SIGPROF, "WINCH": SIGWINCH, "IO": SIGIO, "PWR": SIGPWR, "SYS": SIGSYS,
    ]

    /// `SIGTERM`, `term`, `15`, `RTMIN+3`; empty is SIGKILL, as `docker kill`'s default.
    ///
    /// - Throws: `.invalid` naming the text.
    static func parse(_ text: String) throws(SkalaError) -> Int32 {
        if text.isEmpty { return SIGKILL }
        if let number = Int32(text), (1...64).contains(number) { return number }
        let upper = text.uppercased()
        let name = upper.hasPrefix("SIG") ? String(upper.dropFirst(3)) : upper
        if let number = numbers[name] { return number }
        for (prefix, base, sign) in [("RTMIN", Int32(34), "+"), ("RTMAX", 64, "-")] where name.hasPrefix(prefix) {
            let rest = name.dropFirst(prefix.count)
            if rest.isEmpty { return base }
            let digits = rest.dropFirst()
            if rest.hasPrefix(sign), digits.allSatisfy(\.isWholeNumber), let offset = Int32(digits), offset <= 30 {
                return sign == "+" ? base + offset : base - offset
            }
        }
        throw SkalaError(.invalid, "invalid signal: \(text)")
    }
}
