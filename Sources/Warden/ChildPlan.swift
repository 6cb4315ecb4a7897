import CLinux
import Glibc
import Kernel

/// The steps of a container's first process, with the memory they point to. Made before the clone: the child does not
/// allocate.
final class ChildPlan {
    private(set) var steps: [cl_step] = []
    /// What each step does, for the message when it fails.
    private(set) var descriptions: [String] = []
    private var memory: [UnsafeMutableRawPointer] = []
    private var filters: [SeccompFilter] = []

    deinit { for pointer in memory { pointer.deallocate() } }

    /// Appends a step; `description` names the operation and its subject.
    func add(
        _ kind: cl_step_kind, _ description: String, _ numbers: [Int64] = [], texts: [String?] = [],
        data: UnsafeRawPointer? = nil, data2: UnsafeRawPointer? = nil, data3: UnsafeRawPointer? = nil
    ) {
        precondition(numbers.count <= 6 && texts.count <= 4)
        var step = cl_step()
        step.kind = Int32(kind.rawValue)
        step.stage = Int32(descriptions.count)
        func number(_ index: Int) -> Int64 { index < numbers.count ? numbers[index] : 0 }
        step.n = (number(0), number(1), number(2), number(3), number(4), number(5))
        func pointer(_ index: Int) -> UnsafePointer<CChar>? {
            index < texts.count ? texts[index].map { text($0) } : nil
        }
        step.t = (pointer(0), pointer(1), pointer(2), pointer(3))
        step.d = data
        step.d2 = data2
        step.d3 = data3
        steps.append(step)
        descriptions.append(description)
    }

    private func text(_ text: String) -> UnsafePointer<CChar> {
        let count = text.utf8.count
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: count + 1, alignment: 1)
        memory.append(buffer)
        let bytes = buffer.bindMemory(to: UInt8.self, capacity: count + 1)
        var at = bytes
        for byte in text.utf8 {
            at.pointee = byte
            at += 1
        }
        at.pointee = 0
        return UnsafeRawPointer(buffer).assumingMemoryBound(to: CChar.self)
    }

    /// A null-terminated list of texts, with `spare` further nulls.
    func list(_ texts: [String], spare: Int = 0) -> UnsafeRawPointer {
        let stride = MemoryLayout<UnsafePointer<CChar>?>.stride
        let buffer = UnsafeMutableRawPointer.allocate(
            byteCount: (texts.count + 1 + spare) * stride, alignment: MemoryLayout<UnsafeRawPointer>.alignment)
        memory.append(buffer)
        let slots = buffer.bindMemory(to: UnsafePointer<CChar>?.self, capacity: texts.count + 1 + spare)
        for (index, value) in texts.enumerated() { slots[index] = text(value) }
        for index in texts.count...texts.count + spare { slots[index] = nil }
        return UnsafeRawPointer(buffer)
    }

    func bytes(_ bytes: [UInt8]) -> UnsafeRawPointer {
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(1, bytes.count), alignment: 8)
        memory.append(buffer)
        buffer.copyMemory(from: bytes, byteCount: bytes.count)
        return UnsafeRawPointer(buffer)
    }

    func groups(_ groups: [UInt32]) -> UnsafeRawPointer {
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(4, groups.count * 4), alignment: 4)
        memory.append(buffer)
        for (index, group) in groups.enumerated() {
            buffer.storeBytes(of: group, toByteOffset: index * 4, as: UInt32.self)
        }
        return UnsafeRawPointer(buffer)
    }

    /// Adds the installation of a filter and keeps it alive.
    ///
    /// - Parameter gate: where the process waits until somebody took the filter's listener; nil: it has none.
    func add(_ filter: SeccompFilter, listenerGate gate: Int32?) {
        filters.append(filter)
        add(
            CL_STEP_SECCOMP, "install the seccomp filter", [Int64(filter.flags), Int64(gate ?? 0)],
            data: filter.descriptor)
    }
}
