import Kernel

/// Programs of the host that the lab makes use of.
enum HostProgram {
    /// The path of a program where systems have theirs, whatever the user's PATH is; nil when it is not installed.
    static func find(_ program: String) -> String? {
        Subprocess.find(program, path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }
}
