/// What a machine of the lab is told: Scripts/machine-init.sh runs it. Pure.
enum MachineSeed {
    /// User data: a script, as cloud-init takes them, which writes the keys and the program.
    static func userData(program: String, environment: [String], hostKey: String, authorized: String) -> String {
        let files = [
            ("host-key", hostKey), ("authorized-keys", authorized), ("program", script(program, environment)),
        ]
        return "#!/bin/sh\nset -e\numask 077\n"
            + files.map { "\(ShellText.command(["printf", "%s\\n", $0.1])) >/run/\($0.0)\n" }.joined()
    }

    /// A shell script with the image's programs and the environment that programs have everywhere, in the words of the machine's own
    /// shell.
    static func script(_ script: String, _ environment: [String]) -> String {
        let fixed = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
        let command = ["env", "-i"] + fixed + environment + ["chroot", "/image", "/bin/sh", "-c", script]
        return "exec " + ShellText.command(command) + "\n"
    }
}
