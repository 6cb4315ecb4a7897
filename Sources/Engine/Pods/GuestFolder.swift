/// Where a VM has what the engine gives it for one container.
struct GuestFolder: Sendable {
    private static let root = "/run/skala"
    static let initProgram = root + "/skala-init"

    let path: String

    /// Of a microVM's only container.
    static let only = GuestFolder(path: root)

    /// Of one container among others in a pod.
    init(of container: String) { path = GuestFolder.root + "/" + container }

    private init(path: String) { self.path = path }

    var image: String { path + "/image" }
    var disk: String { path + "/disk" }
    var share: String { path + "/share" }
    func file(_ name: String) -> String { path + "/files/" + name }
}
