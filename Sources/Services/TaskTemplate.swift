import Base
import Planning

/// The placeholders in a task's hostname, environment and mounts: `{{.Task.Slot}}`. Pure.
struct TaskTemplate {
    let values: [String: String]
    let serviceLabels: [String: String]

    init(service: ServiceRecord, task: TaskRecord, node: NodeRecord) {
        values = [
            ".Service.ID": service.id, ".Service.Name": service.name, ".Node.ID": node.id,
            ".Node.Hostname": node.hostname, ".Node.Platform.Architecture": node.architecture,
            ".Node.Platform.OS": "linux", ".Task.ID": task.id,
            ".Task.Name": TaskContainer.name(of: task, service: service),
            ".Task.Slot": task.slot == 0 ? node.id : "\(task.slot)",
        ]
        serviceLabels = service.spec.labels
    }

    /// The text with its placeholders filled in.
    ///
    /// - Throws: `.invalid` naming a placeholder that is not known.
    func fill(_ text: String) throws(SkalaError) -> String {
        guard text.contains("{{") else { return text }
        var result = ""
        var rest = Substring(text)
        while let start = rest.firstIndex(of: "{"), rest.count > 1 {
            guard rest[rest.index(after: start)...].first == "{" else {
                result += rest[...start]
                rest = rest[rest.index(after: start)...]
                continue
            }
            result += rest[..<start]
            let inside = rest[start...].dropFirst(2)
            guard let end = inside.indices.first(where: { inside[$0...].hasPrefix("}}") }) else {
                throw SkalaError(.invalid, "a placeholder in '\(text)' does not end")
            }
            result += try value(inside[..<end])
            rest = inside[end...].dropFirst(2)
        }
        return result + rest
    }

    private func value(_ expression: Substring) throws(SkalaError) -> String {
        let words = expression.split(separator: " ").map(String.init)
        if words.count == 1, let value = values[words[0]] { return value }
        if words.count == 3, words[0] == "index", words[1] == ".Service.Labels" {
            return serviceLabels[String(words[2].filter { $0 != "\"" })] ?? ""
        }
        throw SkalaError(.invalid, "the placeholder {{\(expression)}} is not known")
    }
}
