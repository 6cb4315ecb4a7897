/// A loadable module of a guest kernel.
struct KernelModule {
    /// With underscores, as the kernel names it.
    let name: String
    let content: [UInt8]

    /// The modules that have to be loaded before this one: `depends=` of its `.modinfo` section.
    var dependencies: [String] {
        let key = Array("\0depends=".utf8)
        var start = 0
        while let at = content[start...].firstIndex(of: 0), at + key.count < content.count {
            if content[at..<at + key.count].elementsEqual(key) {
                let value = content[(at + key.count)...].prefix { $0 != 0 }
                return String(decoding: value, as: UTF8.self).split(separator: ",").map {
                    KernelModule.normalized(String($0))
                }
            }
            start = at + 1
        }
        return []
    }

    /// `virtio-rng` and `virtio_rng` are one module.
    static func normalized(_ name: String) -> String { String(name.map { $0 == "-" ? "_" : $0 }) }
}
