import Base
import Kernel
import TestSupport
import Testing

@testable import SkalaCLI

/// `extends` and `include`.
struct ComposeLoaderTests {
    /// A folder with these files.
    private func folder(_ files: [String: String]) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for (name, text) in files {
            let path = folder.path + "/" + name
            try FileContents.makeDirectories(ComposeFile.folder(of: path))
            try FileContents.overwrite(path, with: Array(text.utf8))
        }
        return folder
    }

    /// The project of a folder's `compose.yaml`.
    private func load(_ folder: TemporaryFolder, environment: [String: String] = [:]) throws -> ComposeProject {
        let file = try ComposeFile(files: [], directory: folder.path) { environment[$0] }
        return try ComposeProject(file, name: "shop", profiles: [])
    }

    private func load(
        _ files: [String: String], environment: [String: String] = [:]
    ) throws -> (project: ComposeProject, folder: TemporaryFolder) {
        let folder = try folder(files)
        return (try load(folder, environment: environment), folder)
    }

    private func fails(
        _ files: [String: String], _ message: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let folder = try folder(files)
        let error = #expect(throws: SkalaError.self, sourceLocation: sourceLocation) { try load(folder) }
        let expected = message.split(separator: "FOLDER", omittingEmptySubsequences: false).joined(
            separator: folder.path)
        #expect(error?.message == expected, sourceLocation: sourceLocation)
    }

    @Test func aServiceIsPutOverTheOneItExtends() throws {
        let (project, folder) = try load(
            [
                "compose.yaml": """
                services:
                  web:
                    extends: {file: common/base.yaml, service: web}
                    command: [two]
                    environment: {B: own, C: own}
                    volumes: ["data:/data", "./here:/here"]
                    ports: ["81:81"]
                    dns: 9.9.9.9
                volumes: {data: }
                """,
                "common/base.yaml": """
                services:
                  root: {image: "base:$TAG", environment: [A=root, B=root], cap_add: [NET_ADMIN], dns: 8.8.8.8}
                  web:
                    extends: root
                    command: [one]
                    env_file: settings.env
                    volumes: ["./old:/data", "./both:/both:ro", {type: bind, source: long, target: /long}]
                    ports: ["80:80"]
                    healthcheck: {test: "true"}
                """,
                "common/settings.env": "D=file\n",
            ], environment: ["TAG": "7"])
        let spec = try #require(project.services.first?.spec)
        let container = spec["TaskTemplate"]["ContainerSpec"]
        #expect(container["Image"] == "base:7")
        #expect(container["Args"] == ["two"])
        #expect(Set(container["Env"].strings ?? []) == ["A=root", "B=own", "C=own", "D=file"])
        #expect(container["DNSConfig"]["Nameservers"] == ["8.8.8.8", "9.9.9.9"])
        #expect(container["CapabilityAdd"] == ["NET_ADMIN"])
        let mounts = (container["Mounts"].array ?? []).map { "\($0["Source"].plain):\($0["Target"].plain)" }
        #expect(
            mounts == [
                "\(folder.path)/common/both:/both", "\(folder.path)/common/long:/long", "shop_data:/data",
                "\(folder.path)/here:/here",
            ])
        #expect((spec["EndpointSpec"]["Ports"].array ?? []).map { $0["PublishedPort"].int } == [80, 81])
        #expect(container["Healthcheck"]["Test"] == ["CMD-SHELL", "true"])
    }

    @Test func whatIsIncludedStandsBeside() throws {
        let (project, folder) = try load(
            [
                "compose.yaml": """
                include: [db/compose.yaml, {path: cache/c.yaml, env_file: cache/own.env}]
                services:
                  web: {image: web, depends_on: [db]}
                """,
                "db/compose.yaml": """
                name: other
                include: [../shared.yaml]
                services:
                  db:
                    image: "db:${VERSION}"
                    build: .
                    volumes: ["./data:/data", "store:/store"]
                    secrets: [key]
                    networks: [shared]
                volumes: {store: }
                secrets: {key: {file: ./key}}
                """,
                "db/.env": "VERSION=1\nOUTER=db\n", "db/key": "k",
                "cache/c.yaml": "services: {cache: {image: \"cache:$VERSION-$OUTER\"}}\n",
                "cache/own.env": "VERSION=2\nOUTER=cache\n",
                "shared.yaml": "networks: {shared: {internal: true}}\n",
            ], environment: ["OUTER": "all"])
        let images = Dictionary(uniqueKeysWithValues: project.services.map { ($0.key, $0.image) })
        #expect(images == ["web": "web", "db": "db:1", "cache": "cache:2-all"])
        let db = try #require(project.services.first { $0.key == "db" })
        #expect(db.build?.context == folder.path + "/db")
        #expect(db.spec["TaskTemplate"]["ContainerSpec"]["Mounts"][0]["Source"].string == folder.path + "/db/data")
        #expect(project.networks.map(\.name) == ["shop_shared", "shop_default"])
        #expect(project.volumes.map(\.name) == ["shop_store"] && project.secrets.map(\.key) == ["key"])
    }

    @Test func theSameTwiceIsOnce() throws {
        let (project, _) = try load([
            "compose.yaml": "include: [a.yaml, b.yaml]\nservices: {w: {image: x}}\n",
            "a.yaml": "include: [c.yaml]\n", "b.yaml": "include: [c.yaml]\n", "c.yaml": "services: {c: {image: y}}\n",
        ])
        #expect(project.services.map(\.key) == ["w", "c"])
    }

    @Test func errorsNameTheFileAndTheLine() throws {
        let web = "services:\n  web:\n    extends: {file: base.yaml, service: base}\n"
        try fails(
            ["compose.yaml": web, "base.yaml": "services:\n  base:\n    image: x\n    comand: y\n"],
            "base.yaml:4:5: services.web: unknown key 'comand'; did you mean 'command'?")
        try fails(
            ["compose.yaml": web, "base.yaml": "services: {}\n"],
            "compose.yaml:3:41: services.web.extends.service: base.yaml has no service 'base'")
        try fails(
            ["compose.yaml": "services:\n  web:\n    extends: {file: none.yaml, service: base}\n"],
            "compose.yaml:3:21: services.web.extends.file: FOLDER/none.yaml: no such file")
        try fails(
            ["compose.yaml": "services:\n  web: {extends: {service: base, fil: x}}\n"],
            "compose.yaml:2:34: services.web.extends: unknown key 'fil'; did you mean 'file'?")
        try fails(
            ["compose.yaml": "include:\n  - none.yaml\nservices: {w: {image: x}}\n"],
            "compose.yaml:2:5: include[0]: FOLDER/none.yaml: no such file")
        try fails(
            ["compose.yaml": "include:\n  - sub/x.yaml\n", "sub/x.yaml": "services:\n  a:\n    image: [x]\n"],
            "sub/x.yaml:3:12: services.a.image: a text is expected, not a list")
        try fails(
            [
                "compose.yaml": "include:\n  - x.yaml\nservices:\n  a: {image: one}\n",
                "x.yaml": "services:\n  a: {image: two}\n",
            ],
            "x.yaml:2:3: services.a: it is included from compose.yaml:2:5, and another one is there: compose.yaml:4:3")
    }

    @Test func circlesAreRefused() throws {
        try fails(
            ["compose.yaml": "services:\n  a: {extends: b}\n  b: {extends: {service: a}}\n"],
            "compose.yaml:2:16: services.a.extends: these services extend each other: "
                + "compose.yaml: a → compose.yaml: b → compose.yaml: a")
        try fails(
            [
                "compose.yaml": "services:\n  a: {extends: {file: o.yaml, service: b}}\n",
                "o.yaml": "services:\n  b: {extends: {file: ./compose.yaml, service: a}}\n",
            ],
            "compose.yaml:2:16: services.a.extends: these services extend each other: "
                + "compose.yaml: a → o.yaml: b → compose.yaml: a")
        try fails(
            ["compose.yaml": "include: [x.yaml]\n", "x.yaml": "include:\n  - path: compose.yaml\n"],
            "x.yaml:2:11: include[0].path: these files include each other: compose.yaml → x.yaml → compose.yaml")
        try fails(
            ["compose.yaml": "include: [./compose.yaml]\n"],
            "compose.yaml:1:11: include[0]: these files include each other: compose.yaml → compose.yaml")
    }
}
