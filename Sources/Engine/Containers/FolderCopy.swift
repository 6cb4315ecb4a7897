import Base
import Images
import Kernel
import Synchronization

/// Copies what containers wrote, in the form overlayfs has it.
enum FolderCopy {
    /// Copies a tree with owners, modes, times, hard links, devices, extended attributes and holes; where the file system
    /// can, both share their blocks. The copy is removed when it fails or is cancelled.
    static func copy(_ source: String, to target: String, threads: WorkerThreads) async throws {
        let cancellation = Cancellation()
        do {
            try await withTaskCancellationHandler {
                try await threads.run { try copy(source, to: target, cancellation) }
            } onCancel: {
                cancellation.cancel()
            }
        } catch {
            // What stays is removed when the daemon starts next: it has a name of its own.
            try? await threads.run { try FileContents.removeTree(target) }
            throw error
        }
    }

    private static func copy(_ source: String, to target: String, _ cancellation: Cancellation) throws {
        var words: [UInt8] = []
        // coreutils copies all of these, overlayfs' own attributes included.
        let status = try Subprocess.stream(
            ["/bin/cp", "-a", "--reflink=auto", "--sparse=auto", "-T", "--", source, target],
            isCancelled: { cancellation.isCancelled }
        ) { if words.count < 1000 { words += $0 } }
        if cancellation.isCancelled { throw SkalaError(.cancelled, "the copy was cancelled") }
        guard status == 0 else {
            let text = String(decoding: words.prefix(1000), as: UTF8.self).split(separator: "\n").last ?? ""
            throw SkalaError(.system, "cannot copy the files: \(text)")
        }
    }
}
