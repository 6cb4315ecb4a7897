import Base
import Client
import Glibc
import Kernel

/// Gives the engine the images of an experiment: pulls them, or makes them of Debian packages by mmdebstrap.
struct ImageMaker {
    let client: EngineClient
    /// Where the files of images are kept for processes of the host.
    let roots: String
    let scratch: String
    let isStopped: () -> Bool
    /// A line for people about what is being done.
    let tell: (String) -> Void

    /// What is missing on the host to make this image; nil when it can be made.
    static func obstacle(_ recipe: ImageRecipe) -> String? {
        guard case .folder(_, let debian) = recipe.source else { return nil }
        guard geteuid() == 0 else { return "image \(recipe.name): making an image needs root" }
        guard HostProgram.find("mmdebstrap") != nil else {
            return "image \(recipe.name): it is made of Debian packages, which needs the program mmdebstrap"
        }
        guard debian.sources.isEmpty || HostProgram.find("dpkg-source") != nil else {
            return "image \(recipe.name): it has source packages, which need dpkg-source (package dpkg-dev)"
        }
        return nil
    }

    func prepare(_ recipe: ImageRecipe) throws -> PreparedImage {
        switch recipe.source {
        case .reference(let reference):
            guard try !client.hasImage(reference) else { return try prepared(reference, made: nil) }
            tell("pulling \(reference)")
            return try timed(reference) { try pull(reference) }
        case .folder(let folder, let debian):
            let reference = try ImageMaker.reference(recipe.name, folder, debian, scratch: scratch)
            guard try !client.hasImage(reference) else { return try prepared(reference, made: nil) }
            tell("making the image '\(recipe.name)' of Debian packages")
            return try timed(reference) { try make(recipe.name, folder, debian, reference) }
        }
    }

    private func timed(_ reference: String, _ body: () throws -> Void) throws -> PreparedImage {
        let started = SystemClock.monotonicNanoseconds()
        try body()
        return try prepared(reference, made: SystemClock.monotonicNanoseconds() - started)
    }

    private func prepared(_ reference: String, made: Int64?) throws -> PreparedImage {
        try PreparedImage(reference, made: made, folder: roots, client: client)
    }

    private func pull(_ reference: String) throws {
        // The engine goes on; whoever stops does not wait for it.
        let deadline = Deadline(in: .max / 2, isStopped: isStopped)
        do {
            try client.send(.post("/images/create", query: [("fromImage", reference)])).messages { _ in
                try deadline.check()
            }
        } catch let error as SkalaError where error.code != .cancelled {
            throw error.within("image \(reference), which the engine does not have, cannot be pulled")
        }
    }

    /// Of the images it makes.
    static let repository = "skala-lab/"

    /// A name that changes with what the image is made of.
    ///
    /// - Parameter scratch: a folder for a file.
    static func reference(
        _ name: String, _ folder: String, _ recipe: ImageRecipe.DebianRecipe, scratch: String
    ) throws -> String {
        var parts = recipe.packages.sorted() + [""] + recipe.sources.sorted() + ["", recipe.script ?? ""]
        for file in try FileContents.names(in: folder).sorted() where file != "image.yaml" {
            parts += [file, String(decoding: try FileContents.read("\(folder)/\(file)"), as: UTF8.self)]
        }
        let listing = "\(scratch)/recipe"
        defer { unlink(listing) }
        try FileContents.replace(listing, with: Array(parts.joined(separator: "\n").utf8))
        let sum = try Subprocess.output(["/usr/bin/sha256sum", listing], limit: 200)
        return "\(repository)\(name):\(sum.prefix(12))"
    }

    private func make(
        _ name: String, _ folder: String, _ recipe: ImageRecipe.DebianRecipe, _ reference: String
    ) throws {
        let archive = "\(scratch)/image.tar"
        defer { unlink(archive) }
        let sources = "\(scratch)/sources.list"
        try FileContents.replace(
            sources, with: Array(try DebianMirror.sources(withSources: !recipe.sources.isEmpty).utf8))
        var said = BoundedText()
        let command = try command(folder, recipe) + [try DebianMirror.suite(), archive, sources]
        let status = try Subprocess.stream(command, isCancelled: isStopped) { said.append($0) }
        if isStopped() { throw SkalaError(.cancelled, "stopped") }
        guard status == 0 else {
            throw SkalaError(.system, "image '\(name)': mmdebstrap failed: \(said.text.suffix(1500))")
        }
        try importArchive(archive, as: reference)
    }

    private func command(_ folder: String, _ recipe: ImageRecipe.DebianRecipe) throws -> [String] {
        var command = [
            HostProgram.find("mmdebstrap") ?? "mmdebstrap", "--variant=minbase", "--mode=root",
            "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*", "--aptopt=Apt::Install-Recommends \"false\"",
            "--include=\(recipe.packages.joined(separator: ","))",
            // No service starts while packages are installed.
            "--essential-hook=printf '#!/bin/sh\\nexit 101\\n' >\"$1/usr/sbin/policy-rc.d\"; chmod 755 \"$1/usr/sbin/policy-rc.d\"",
        ]
        if !recipe.sources.isEmpty {
            command.append(
                "--customize-hook=cd \"$1/usr/src\" && APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" apt-get source --only-source "
                    + recipe.sources.joined(separator: " ") + " && rm -f *.dsc *.tar.*")
        }
        if let script = recipe.script {
            let file = "\(scratch)/script"
            try FileContents.replace(file, with: Array("set -e\ncd /recipe\n\(script)".utf8))
            command += [
                "--customize-hook=mkdir \"$1/recipe\" && cp -r \"\(folder)\"/. \"$1/recipe\" && cp \"\(file)\" \"$1/recipe/.script\"",
                "--customize-hook=chroot \"$1\" /bin/sh /recipe/.script", "--customize-hook=rm -rf \"$1/recipe\"",
            ]
        }
        return command + ["--customize-hook=rm -f \"$1/etc/resolv.conf\" \"$1/etc/hostname\""]
    }

    private func importArchive(_ path: String, as reference: String) throws {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        let name = reference.split(separator: ":").map(String.init)
        try client.send(
            HTTPRequest(
                "POST", "/images/create",
                query: [("fromSrc", "-"), ("repo", name[0]), ("tag", name[1]), ("changes", "CMD [\"/bin/sh\"]")],
                body: .stream(contentType: "application/x-tar") { try Pipe.read(file.raw, upTo: 1 << 18) })
        ).messages { _ in }
    }
}

extension EngineClient {
    func hasImage(_ reference: String) throws -> Bool {
        do {
            try json(.get("/images/\(PercentEncoding.encode(reference, keeping: "/:@"))/json"))
            return true
        } catch let error as SkalaError where error.code == .notFound { return false }
    }
}
