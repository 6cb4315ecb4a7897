import Base
import YAML

/// A web server that is started, moved or copied by an experiment: its image, its program, and where it answers.
struct Application: Sendable {
    let image: String
    let program: String?
    let port: Int
    let memory: Int64
    let processors: Double

    static let keys: Set<String> = ["image", "program", "port", "memory", "cpus"]

    /// Of the keys of an experiment.
    init(_ spec: SpecReader, images: Set<String>) throws(SkalaError) {
        image = try spec.image(images)
        program = try spec["program"]?.string()
        port = Int(try spec["port"]?.integer(1...65535) ?? 80)
        memory = try spec["memory"]?.bytes() ?? 128 << 20
        processors = try spec["cpus"]?.number() ?? 1
    }

    var instance: InstanceSpec {
        InstanceSpec(
            image: image, program: program, usesImageCommand: program == nil, processors: processors, memory: memory,
            role: "application")
    }
}
