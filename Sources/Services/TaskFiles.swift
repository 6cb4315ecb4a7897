import Base
import Engine
import Glibc
import Kernel

/// The secrets and configs of tasks: a tmpfs for each task, below the run folder, bound into its container.
///
/// Never on a disk. The file system goes when the task has ended; those a killed daemon left are removed by the next one.
struct TaskFiles {
    struct File: Sendable {
        /// In the container.
        let target: String
        let contents: [UInt8]
        let user: UInt32
        let group: UInt32
        let mode: UInt32
    }

    static let secretsFolder = "/run/secrets"

    let root: String
    let threads: WorkerThreads

    init(engine: Engine) {
        root = engine.configuration.runRoot + "/task-files"
        threads = engine.threads
    }

    /// The elements of `HostConfig.Mounts` that show the files in the container. Pure.
    func mounts(_ task: String, _ targets: [String]) -> [JSON] {
        var mounts: [JSON] = []
        func add(_ source: String, _ target: String) {
            mounts.append([
                "Type": "bind", "Source": JSON(source), "Target": JSON(target), "ReadOnly": true,
                "BindOptions": ["Propagation": "rprivate"],
            ])
        }
        if targets.contains(where: isSecretsFile) { add(folder(task) + "/secrets", TaskFiles.secretsFolder) }
        for (index, target) in targets.enumerated() where !isSecretsFile(target) {
            add(folder(task) + "/\(index)", target)
        }
        return mounts
    }

    /// Makes the file system and writes the files.
    func make(_ task: String, _ files: [File]) async throws {
        guard !files.isEmpty else { return }
        let folder = folder(task)
        let size = files.reduce(1 << 20) { $0 + ($1.contents.count + 8191) / 4096 * 4096 }
        let places = files.enumerated().map { index, file in
            isSecretsFile(file.target)
                ? folder + "/secrets" + file.target.dropFirst(TaskFiles.secretsFolder.count) : folder + "/\(index)"
        }
        try await threads.run {
            TaskFiles.unmount(folder)
            try FileContents.makeDirectories(folder, mode: 0o700)
            try checkErrno(
                mount("tmpfs", folder, "tmpfs", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC), "size=\(size),mode=0700"),
                "mount", folder)
            try FileContents.makeDirectories(folder + "/secrets", mode: 0o755)
            for (file, place) in zip(files, places) {
                let parent = place[..<(place.lastIndex(of: "/") ?? place.endIndex)]
                try FileContents.makeDirectories(String(parent), mode: 0o755)
                try FileContents.replace(place, with: file.contents, mode: file.mode)
                try checkErrno(chown(place, file.user, file.group), "chown", place)
                // Not reduced by the daemon's own mask.
                try checkErrno(chmod(place, file.mode), "chmod", place)
            }
        }
    }

    /// Takes a task's file system away; none is no error.
    func remove(_ task: String) async {
        let folder = folder(task)
        // A thread pool that is closing: the next daemon removes it.
        try? await threads.run {
            TaskFiles.unmount(folder)
            rmdir(folder)
        }
    }

    /// Takes away those of tasks that are not known.
    func removeStrays(known: Set<String>) async throws {
        let root = root
        try FileContents.makeDirectories(root, mode: 0o700)
        for task in try FileContents.names(in: root) where !known.contains(task) { await remove(task) }
    }

    private func folder(_ task: String) -> String { root + "/" + task }

    private func isSecretsFile(_ target: String) -> Bool { target.hasPrefix(TaskFiles.secretsFolder + "/") }

    private static func unmount(_ folder: String) {
        while umount2(folder, Int32(MNT_DETACH)) == 0 {}
    }
}
