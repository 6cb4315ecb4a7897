import Base
import Kernel

/// Where this host has its Debian packages from: what is made of packages comes from there, too.
enum DebianMirror {
    /// The release's name.
    static func suite() throws -> String {
        let release = String(decoding: try FileContents.read("/etc/os-release"), as: UTF8.self)
        for line in release.split(separator: "\n") where line.hasPrefix("VERSION_CODENAME=") {
            return line.dropFirst("VERSION_CODENAME=".count).filter { $0 != "\"" }
        }
        return "stable"
    }

    /// This host's own sources of Debian packages, one a line, as `sources.list` has them.
    static func sources(withSources: Bool) throws -> String {
        guard let apt = HostProgram.find("apt-get") else {
            throw SkalaError(.unavailable, "images of packages can only be made on Debian and what is made of it")
        }
        let format =
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(CODENAME) $(COMPONENT)"
        let text = try Subprocess.output(
            [apt, "indextargets", "--format", format, "Created-By: Packages", "Origin: Debian"], limit: 1 << 20)
        var lines = Set(text.split(separator: "\n").map(String.init)).sorted()
        guard !lines.isEmpty else {
            throw SkalaError(.unavailable, "apt knows no Debian packages: run 'apt-get update'")
        }
        if withSources { lines += lines.map { "deb-src" + $0.dropFirst("deb".count) } }
        return lines.joined(separator: "\n") + "\n"
    }
}
