// swift-tools-version: 6.2
import PackageDescription

// The targets stand in the order of the layers: imports go downwards only, that is from a target to ones
// listed above it. Tests/RepositoryTests reads this file and fails on an upward edge.

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let nio: Package.Dependency = .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2")
let nioSSL: Package.Dependency = .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6")

let package = Package(
    name: "skala",
    products: [
        .executable(name: "skala", targets: ["skala"]),
        .executable(name: "skala-daemon", targets: ["skala-daemon"]),
        .executable(name: "skala-warden", targets: ["skala-warden"]),
        .executable(name: "skala-init", targets: ["skala-init"]),
        .executable(name: "skala-checkpoint", targets: ["skala-checkpoint"]),
    ],
    dependencies: [nio, nioSSL],
    targets: [
        // C: what Swift cannot import or must not do, and the libraries of the distribution.
        .target(name: "CLinux"),
        .systemLibrary(name: "CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSSL", pkgConfig: "libssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CNftables", pkgConfig: "libnftables", providers: [.apt(["libnftables-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .target(name: "CCurl", linkerSettings: [.linkedLibrary("curl")]),

        .target(name: "Base", swiftSettings: settings),
        .target(name: "YAML", dependencies: ["CYAML", "Base"], swiftSettings: settings),
        .target(name: "Kernel", dependencies: ["CLinux", "CSeccomp", "Base"], swiftSettings: settings),
        // Tar archives and file trees, on the host and in VMs alike.
        .target(name: "Archives", dependencies: ["CLinux", "Base", "Kernel"], swiftSettings: settings),
        .target(name: "OCI", dependencies: ["Base"], swiftSettings: settings),
        .target(name: "WardenProtocol", dependencies: ["Base"], swiftSettings: settings),
        .target(
            name: "Warden", dependencies: ["CLinux", "Base", "Kernel", "Archives", "OCI", "WardenProtocol"],
            swiftSettings: settings),
        .target(
            name: "Images",
            dependencies: ["CLinux", "CArchive", "CCurl", "CCrypto", "Base", "Kernel", "Archives", "OCI"],
            swiftSettings: settings),
        .target(name: "Networks", dependencies: ["CLinux", "CNftables", "Base", "Kernel"], swiftSettings: settings),
        .target(
            name: "Machines", dependencies: ["CLinux", "CArchive", "Base", "Kernel", "Images"], swiftSettings: settings),
        .target(name: "Store", dependencies: ["CSQLite", "Base", "Kernel"], swiftSettings: settings),
        // What services want, and who decides how they get it: state in, plan out.
        .target(name: "Planning", dependencies: ["Base"], swiftSettings: settings),
        .target(
            name: "Engine",
            dependencies: [
                "CLinux", "Base", "Kernel", "Archives", "OCI", "WardenProtocol", "Images", "Networks", "Machines",
                "Store",
            ],
            swiftSettings: settings),
        .target(
            name: "Services",
            dependencies: [
                "CCrypto", "Base", "Kernel", "OCI", "Images", "Networks", "Machines", "Store", "Planning", "Engine",
            ],
            swiftSettings: settings),
        .target(
            name: "DockerAPI",
            dependencies: [
                "CLinux", "Base", "Kernel", "OCI", "Images", "Networks", "Planning", "Engine", "Services",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: settings),
        .target(name: "Client", dependencies: ["CLinux", "Base", "Kernel"], swiftSettings: settings),
        // Sends requests and takes the time of answers.
        .target(name: "Load", dependencies: ["CLinux", "CSSL", "Base", "Kernel"], swiftSettings: settings),
        // Measures what each isolation costs on this host.
        .target(
            name: "Lab", dependencies: ["CLinux", "Base", "YAML", "Kernel", "Planning", "Client", "Load"],
            // What makes the disks of machines, and their init.
            resources: ["machine-boot.sh", "machine-init.sh", "boot-disk.sh"].map {
                .embedInCode("Machines/Scripts/\($0)")
            }, swiftSettings: settings),
        .target(
            name: "SkalaCLI", dependencies: ["CLinux", "Base", "YAML", "Kernel", "Planning", "Client", "Load", "Lab"],
            swiftSettings: settings),
        .executableTarget(name: "skala", dependencies: ["SkalaCLI"], swiftSettings: settings),
        .executableTarget(
            name: "skala-daemon",
            dependencies: ["CLinux", "Base", "Kernel", "Machines", "Engine", "Services", "DockerAPI"],
            swiftSettings: settings),
        // Static, also in debug builds: it is process 1 of VMs, where there are no libraries.
        .executableTarget(
            name: "skala-warden", dependencies: ["Base", "Kernel", "Warden"], swiftSettings: settings,
            linkerSettings: [.unsafeFlags(["-static-executable", "-Xlinker", "--gc-sections"])]),
        // The init process of `--init`, bound into containers: static, so that it runs in any of them.
        .executableTarget(
            name: "skala-init",
            linkerSettings: [.unsafeFlags(["-static-executable", "-Xlinker", "--gc-sections", "-Xlinker", "-s"])]),

        // Measures the planners; not installed.
        .executableTarget(
            name: "planning-benchmark", dependencies: ["Planning", "Base"], path: "Benchmarks/Planning",
            swiftSettings: settings),
        // Keeps a QEMU as a file, and makes processes of that: C, since it replaces its own memory; static and at a fixed
        // address, so that it is in nobody's way.
        .executableTarget(
            name: "skala-checkpoint",
            linkerSettings: [.unsafeFlags(["-static-executable", "-Xlinker", "--gc-sections", "-Xlinker", "-s"])]),
        // Drives the balancers for Benchmarks/run services.
        .executableTarget(
            name: "skala-balancer-driver", dependencies: ["Base", "Kernel", "Networks"], path: "Benchmarks/Driver",
            swiftSettings: settings),

        .target(
            name: "TestSupport", dependencies: ["Base", "Kernel"], path: "Tests/TestSupport", swiftSettings: settings),
        .testTarget(name: "BaseTests", dependencies: ["Base", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "YAMLTests", dependencies: ["YAML", "Base"], swiftSettings: settings),
        .testTarget(
            name: "KernelTests", dependencies: ["Kernel", "CLinux", "Base", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "OCITests", dependencies: ["OCI", "Base", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "WardenProtocolTests", dependencies: ["WardenProtocol", "Base"], swiftSettings: settings),
        .testTarget(
            name: "WardenTests",
            dependencies: ["Warden", "WardenProtocol", "CLinux", "Kernel", "OCI", "Base", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "ArchivesTests", dependencies: ["Archives", "Kernel", "CLinux", "Base", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "ImagesTests",
            dependencies: ["Images", "Archives", "OCI", "Kernel", "CLinux", "Base", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "NetworksTests", dependencies: ["Networks", "Kernel", "CLinux", "Base", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "MachinesTests", dependencies: ["Machines", "Kernel", "CLinux", "Base", "TestSupport"],
            swiftSettings: settings),
        .testTarget(name: "StoreTests", dependencies: ["Store", "Base"], swiftSettings: settings),
        .testTarget(
            name: "EngineTests",
            dependencies: [
                "CLinux", "Engine", "WardenProtocol", "Machines", "Networks", "Images", "OCI", "Kernel", "Base",
                "TestSupport",
            ],
            exclude: ["Specs"],
            swiftSettings: settings),
        .testTarget(name: "PlanningTests", dependencies: ["Planning", "Base", "TestSupport"], swiftSettings: settings),
        // The planners of Planning on a cluster in memory, with faults.
        .testTarget(
            name: "SimulationTests", dependencies: ["Planning", "Base", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "ServicesTests", dependencies: ["Services", "Networks", "Planning", "Base", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "DockerAPITests", dependencies: ["DockerAPI", "Engine", "Images", "OCI", "Base"],
            swiftSettings: settings),
        .testTarget(name: "ClientTests", dependencies: ["Client", "Kernel", "Base"], swiftSettings: settings),
        .testTarget(
            name: "LoadTests", dependencies: ["Load", "CLinux", "Kernel", "Base", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "LabTests",
            dependencies: ["Lab", "Planning", "Load", "Client", "YAML", "Kernel", "Base", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "SkalaCLITests",
            dependencies: ["SkalaCLI", "Client", "Load", "YAML", "Kernel", "Base", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "RepositoryTests",
            dependencies: ["DockerAPI", "Services", "Engine", "Kernel", "CLinux", "Base", "TestSupport"],
            exclude: ["docker-api-routes.txt", "docker-api-fields.txt"], swiftSettings: settings),
        .testTarget(
            name: "FuzzTests",
            dependencies: [
                "CLinux", "Base", "Kernel", "Archives", "OCI", "WardenProtocol", "Images", "Networks", "Machines",
                "Engine",
                "DockerAPI",
                "TestSupport", .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "IntegrationTests", dependencies: ["Base", "Kernel"], exclude: ["Scripts"], swiftSettings: settings),
    ]
)
