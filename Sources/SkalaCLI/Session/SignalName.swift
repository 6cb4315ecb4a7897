import Glibc

/// Names of signals, as the API takes them.
enum SignalName {
    /// What a container attached without a terminal gets passed on, as docker's `--sig-proxy` does. SIGCHLD, SIGPIPE,
    /// SIGURG and the window's are this program's own.
    static let forwarded: [Int32] = [
        SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU,
    ]
}
