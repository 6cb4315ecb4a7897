import Base
import Glibc
import Kernel

/// The keys by which the lab and its machines know each other: made for a run, and gone with it.
struct MachineKeys {
    /// A folder of nobody else's, with the files below.
    let folder: String
    /// The machines' own, as OpenSSH writes it.
    let hostKey: String
    /// Whom they let in: the line of the lab's public key.
    let authorized: String

    /// Of the lab's private key.
    static let identity = "machine-key"
    private static let host = "machine-host-key"
    /// What ssh compares a machine's key with.
    static let knownHosts = "machine-known-hosts"
    /// By which they are known there, whatever their addresses are.
    static let hostAlias = "machine"

    /// Makes them. Takes some milliseconds.
    init(in folder: String) throws {
        self.folder = folder
        guard let program = HostProgram.find("ssh-keygen") else {
            throw SkalaError(.unavailable, "ssh-keygen (package openssh-client) is not installed")
        }
        for name in [MachineKeys.identity, MachineKeys.host] {
            // What a run that was killed left there would be asked about.
            for file in [name, name + ".pub"] { unlink("\(folder)/\(file)") }
            let command = [program, "-q", "-t", "ed25519", "-N", "", "-C", "skala-lab", "-f", "\(folder)/\(name)"]
            _ = try Subprocess.output(command, limit: 1 << 16)
        }
        func text(_ name: String) throws -> String {
            String(decoding: try FileContents.read("\(folder)/\(name)"), as: UTF8.self)
        }
        hostKey = try text(MachineKeys.host)
        authorized = try text(MachineKeys.identity + ".pub")
        let known = try text(MachineKeys.host + ".pub").split(separator: " ").prefix(2).joined(separator: " ")
        try FileContents.replace(
            "\(folder)/\(MachineKeys.knownHosts)", with: Array("\(MachineKeys.hostAlias) \(known)\n".utf8))
    }
}
