import Base

/// Which pod a container asks for: the annotation `skala.pod`, or `skala.tenant` as annotation or label. Pure.
enum PodName {
    static let annotation = "skala.pod"
    static let tenantAnnotation = "skala.tenant"
    private static let tenantPrefix = "tenant-"
    private static let longest = 63

    /// Whether a create request asks for a pod without naming the isolation.
    static func isAsked(by host: JSON) -> Bool {
        let annotations = host["Annotations"]
        return !annotations[annotation].isNull || !annotations[tenantAnnotation].isNull
    }

    /// The pod's name; nil for one of the container's own.
    ///
    /// - Parameter labels: those of the request, not those of the image: an image must not choose its neighbours.
    /// - Throws: `.invalid` naming what is wrong.
    static func asked(by host: JSON, labels: JSON) throws(SkalaError) -> String? {
        let annotations = host["Annotations"]
        let tenant = annotations[tenantAnnotation].string ?? labels[tenantAnnotation].string
        guard let name = annotations[annotation].string else {
            guard let tenant else { return nil }
            try check(tenant, "tenant")
            return tenantPrefix + tenant
        }
        guard tenant == nil else {
            throw SkalaError(
                .invalid, "\(annotation) and \(tenantAnnotation) both choose the VM: a container has one of them")
        }
        try check(name, "pod")
        return name
    }

    /// - Throws: `.invalid` unless it is a name as containers have, of at most 63 characters.
    static func check(_ name: String, _ what: String) throws(SkalaError) {
        func isPlain(_ character: Character) -> Bool {
            character.isASCII && (character.isLetter || character.isNumber)
        }
        guard let first = name.first, isPlain(first), name.utf8.count <= longest,
            name.allSatisfy({ isPlain($0) || "_.-".contains($0) })
        else {
            throw SkalaError(
                .invalid,
                "invalid \(what) name '\(name)': it is 1 to \(longest) of [a-zA-Z0-9_.-], and begins with one of "
                    + "[a-zA-Z0-9]")
        }
    }
}
