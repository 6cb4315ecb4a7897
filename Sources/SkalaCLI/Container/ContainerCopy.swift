import Base
import Client
import Glibc
import Kernel

/// `skala cp`
enum ContainerCopy {
    static let command = Command(
        "cp", "Copy files between a container and here", "[OPTIONS] CONTAINER:PATH|PATH|- CONTAINER:PATH|PATH|-", 2...2,
        completes: .files,
        options: [
            .flag("archive", short: "a", "Keep user and group ids"),
            .flag("follow-link", short: "L", "Copy what a symbolic link points to"),
            .flag("quiet", short: "q", "Do not say what was copied"),
        ],
        examples: ["skala cp web:/etc/nginx/nginx.conf .", "skala cp ./site/. web:/usr/share/nginx/html"]
    ) { call in
        let ends = call.arguments.positional.map(CopyEnd.init)
        switch (ends[0], ends[1]) {
        case (.container(let name, let path), .local(let target)):
            try CopyOut(call: call, container: name, path: path).run(to: target)
        case (.local(let source), .container(let name, let path)):
            try CopyIn(call: call, container: name, path: path).run(from: source)
        case (.local, .local): throw SkalaError(.invalid, "one of the two must be CONTAINER:PATH")
        case (.container, .container): throw SkalaError(.invalid, "files cannot be copied from container to container")
        }
        return 0
    }
}
