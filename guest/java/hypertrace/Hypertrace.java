// SPDX-License-Identifier: MIT

package hypertrace;

import java.io.IOException;
import java.lang.ref.Cleaner;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/**
 * Emits events through a hypertrace channel, for htrun to record. Without htrun, events do nothing.
 *
 * <p>The channel is opened when the class is loaded. Each thread has an index of its own. An event is a store, which
 * needs ptrace.
 */
public final class Hypertrace {
    private static final int HEADER_BYTES = 64;
    /** On x86 a store with this constant offset is long enough for htrun to replace it by a jump. */
    private static final int BIAS = 128;
    private static final int NOTE_BYTES = 1 << 16;
    private static final byte[] NAME = "hypertrace\0\0".getBytes(StandardCharsets.US_ASCII);
    private static final Cleaner CLEANER = Cleaner.create();
    private static final Channel CHANNEL = open(System.getenv("HYPERTRACE"));
    private static final List<MappedByteBuffer> NOTES = new ArrayList<>();

    private Hypertrace() {}

    /** Whether a channel is open. */
    public static boolean isOpen() {
        return CHANNEL != null;
    }

    /** Emits an event without arguments. */
    public static void emit(long id) {
        if (CHANNEL != null) {
            CHANNEL.own().begin(id).emit();
        }
    }

    /** Emits an event. The channel must have room for the arguments. */
    public static void emit(long id, long first) {
        if (CHANNEL != null) {
            CHANNEL.own().begin(id).put(1, first).emit();
        }
    }

    /** Emits an event. */
    public static void emit(long id, long first, long second) {
        if (CHANNEL != null) {
            CHANNEL.own().begin(id).put(1, first).put(2, second).emit();
        }
    }

    /** Emits an event. */
    public static void emit(long id, long first, long second, long third) {
        if (CHANNEL != null) {
            CHANNEL.own().begin(id).put(1, first).put(2, second).put(3, third).emit();
        }
    }

    /** Emits an event. */
    public static void emit(long id, long... words) {
        if (CHANNEL != null) {
            Slot own = CHANNEL.own().begin(id);
            for (int place = 0; place < words.length; place++) {
                own.put(1 + place, words[place]);
            }
            own.emit();
        }
    }

    /** The word of a float. */
    public static long word(double value) {
        return Double.doubleToRawLongBits(value);
    }

    /** The word of a boolean. */
    public static long word(boolean value) {
        return value ? 1 : 0;
    }

    /** Passes definitions of events to htrun: a TOML text as for htrun --events. Generated code calls it. */
    public static synchronized void define(String text) {
        if (CHANNEL == null) {
            return;
        }
        byte[] contents = text.getBytes(StandardCharsets.UTF_8);
        int size = (contents.length + 3) / 4 * 4;
        try {
            NOTES.add(note(contents, size));
        } catch (IOException error) {
            // The events have no names.
        }
    }

    /** htrun finds the mapping by the name of its file. The size of the note's name is written last. */
    private static MappedByteBuffer note(byte[] contents, int size) throws IOException {
        Path memory = Path.of("/dev/shm");
        Path file = Files.isWritable(memory)
                ? Files.createTempFile(memory, "hypertrace-events", "")
                : Files.createTempFile("hypertrace-events", "");
        try (FileChannel opened = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            MappedByteBuffer note = opened.map(FileChannel.MapMode.READ_WRITE, 0, Math.max(NOTE_BYTES, 24 + size));
            note.order(ByteOrder.LITTLE_ENDIAN);
            note.putInt(4, size).putInt(8, 1).put(12, NAME).put(24, contents).putInt(0, 11);
            return note;
        } finally {
            Files.delete(file);
        }
    }

    private static Channel open(String path) {
        if (path == null || path.isEmpty()) {
            return null;
        }
        try {
            return new Channel(Path.of(path));
        } catch (IOException error) {
            return null;
        }
    }

    /** An open channel, and the indexes of this process. */
    private static final class Channel {
        private final FileChannel file;
        private final MappedByteBuffer memory;
        private final ByteBuffer control;
        private final long data;
        private final long stride;
        private final int args;
        private final ArrayDeque<Slot> free = new ArrayDeque<>();
        private long next;
        private final ThreadLocal<Owner> owners = ThreadLocal.withInitial(this::claim);

        Channel(Path path) throws IOException {
            file = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
            ByteBuffer header = ByteBuffer.allocate(HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
            if (file.read(header, 0) != HEADER_BYTES
                    || !new String(header.array(), 0, 8, StandardCharsets.US_ASCII).equals("HYPRTRC1")
                    || header.getInt(8) != 1) {
                throw new IOException("not a hypertrace channel of version 1");
            }
            args = header.getInt(0x0c);
            next = header.getLong(0x10);
            data = header.getLong(0x28);
            stride = header.getLong(0x30);
            memory = file.map(FileChannel.MapMode.READ_WRITE, 0, header.getLong(0x38));
            memory.order(ByteOrder.nativeOrder());
            int at = Math.toIntExact(header.getLong(0x18)) - BIAS;
            control = memory.slice(at, BIAS + 4).order(ByteOrder.nativeOrder());
        }

        Slot own() {
            return owners.get().slot;
        }

        /** An index, which becomes free again after the thread has exited. */
        private synchronized Owner claim() {
            Slot slot = free.isEmpty() ? fresh() : free.pop();
            Owner owner = new Owner(slot);
            CLEANER.register(owner, () -> release(slot));
            return owner;
        }

        private synchronized void release(Slot slot) {
            free.push(slot);
        }

        /** The highest free index, held by a lock on that byte of the file, as the library in C does. */
        private Slot fresh() {
            while (--next >= 0) {
                try {
                    FileLock lock = file.tryLock(next, 1, false);
                    if (lock != null) {
                        return new Slot(this, (int) next, Math.toIntExact(data + next * stride));
                    }
                } catch (IOException error) {
                    break;
                }
            }
            throw new IllegalStateException("hypertrace: every index of the channel is taken");
        }
    }

    /** A thread's. The slot is not reachable from it alone. */
    private static final class Owner {
        final Slot slot;

        Owner(Slot slot) {
            this.slot = slot;
        }
    }

    private static final class Slot {
        private final MappedByteBuffer memory;
        private final ByteBuffer control;
        private final int index;
        private final int start;
        private final int args;

        Slot(Channel channel, int index, int start) {
            this.memory = channel.memory;
            this.control = channel.control;
            this.index = index;
            this.start = start;
            this.args = channel.args;
        }

        Slot begin(long id) {
            memory.putLong(start, id);
            return this;
        }

        Slot put(int place, long word) {
            if (place < args) {
                memory.putLong(start + 8 * place, word);
            }
            return this;
        }

        void emit() {
            // The fences prevent the compiler from moving the stores of arguments after the store that emits.
            java.lang.invoke.VarHandle.releaseFence();
            control.putInt(BIAS, index);
            java.lang.invoke.VarHandle.releaseFence();
        }
    }
}
