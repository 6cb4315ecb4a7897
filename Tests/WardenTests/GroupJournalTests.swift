import Base
import Glibc
import Kernel
import Testing

@testable import Warden

/// Groups elsewhere and the parents made for them, with folders in the place of hierarchies.
struct GroupJournalTests {
    private func with(_ body: (_ folder: String, _ mounts: Set<String>) throws -> Void) throws {
        let folder = "/tmp/skala-journal-" + Identifier.make().prefix(12)
        defer { try? FileContents.removeTree(folder) }  // of this test alone
        let mounts: Set = [folder + "/one", folder + "/two"]
        for mount in mounts { try FileContents.makeDirectories(mount + "/skala") }
        try body(folder, mounts)
    }

    /// The folders that there are below the mounts, but for the warden's own.
    private func folders(_ mounts: Set<String>) throws -> [String] {
        func below(_ path: String) throws -> [String] {
            try FileContents.names(in: path).flatMap { ["\(path)/\($0)"] + (try below("\(path)/\($0)")) }
        }
        return try mounts.sorted().flatMap { mount in
            try below(mount).map { "\(mount.suffix(3))\($0.dropFirst(mount.count))" }
        }
        .filter { !$0.hasSuffix("/skala") }
    }

    @Test func aParentThatWasMadeGoesWithTheLastGroup() throws {
        try with { folder, mounts in
            let journal = try GroupJournal(file: folder + "/groups", root: "/skala")
            try FileContents.makeDirectories(folder + "/one/a")
            for path in ["/a/b/1", "/a/b/2"] {
                try journal.begin(path, in: mounts)
                for mount in mounts { try FileContents.makeDirectories(mount + path) }
            }
            for mount in mounts { rmdir(mount + "/a/b/1") }
            journal.end("/a/b/1")
            #expect(try folders(mounts) == ["one/a", "one/a/b", "one/a/b/2", "two/a", "two/a/b", "two/a/b/2"])
            for mount in mounts { rmdir(mount + "/a/b/2") }
            journal.end("/a/b/2")
            #expect(try folders(mounts) == ["one/a"], "what was there stays")
            #expect(access(folder + "/groups", F_OK) != 0)
        }
    }

    @Test func aKilledWardensSuccessorKnowsThem() throws {
        try with { folder, mounts in
            let file = folder + "/groups"
            do {
                let journal = try GroupJournal(file: file, root: "/skala/own")
                try journal.begin("/skala/x/1", in: mounts)
                for mount in mounts { try FileContents.makeDirectories(mount + "/skala/x/1") }
            }
            let next = try GroupJournal(file: file, root: "/skala/own")
            #expect(next.groups == ["/skala/x/1"])
            for mount in mounts { rmdir(mount + "/skala/x/1") }
            next.end("/skala/x/1")
            #expect(try folders(mounts).isEmpty && mounts.allSatisfy { access($0 + "/skala", F_OK) == 0 })
        }
    }

    /// After a boot the groups are gone, and what bears their names is somebody else's. So is what no file tells of.
    @Test func anEarlierBootsFileMeansNothing() throws {
        try with { folder, mounts in
            let file = folder + "/groups"
            for content in [#"{"boot":"other","groups":["/a/1"],"made":["\#(folder)/one/a"]}"#, "", "\0\0", "[1"] {
                try FileContents.replace(file, with: Array(content.utf8))
                try FileContents.makeDirectories(folder + "/one/a")
                let journal = try GroupJournal(file: file, root: "/skala")
                #expect(journal.groups.isEmpty)
                journal.removeParents()
                #expect(try folders(mounts) == ["one/a"])
            }
        }
    }
}
