"""
Programs that catch a signal every few milliseconds, as programs with timers, profilers or child processes do.
  signals.py calls FOLDER ROUNDS restart|interrupt     the calls of libc; in FOLDER lie file-N and directory-N for each round
  signals.py walk FOLDER                               nftw
  signals.py sqlite FOLDER                             SQLite
Prints JSON: how many signals were caught, and how many calls failed, by their name and error. Python itself would call again, so
libc is called directly.
"""
import ctypes, errno, json, os, signal, sqlite3, sys

libc = ctypes.CDLL(None, use_errno=True)
mode, folder = sys.argv[1:3]
os.chdir(folder)
caught = 0
failed = {}


def catch(milliseconds, restart):
    def handler(number, frame):
        global caught
        caught += 1

    signal.signal(signal.SIGALRM, handler)
    signal.siginterrupt(signal.SIGALRM, not restart)
    signal.setitimer(signal.ITIMER_REAL, milliseconds / 1000, milliseconds / 1000)


def fails(name, error):
    failed[f"{name} {error}"] = failed.get(f"{name} {error}", 0) + 1


def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    if result < 0:
        fails(name, errno.errorcode[ctypes.get_errno()])
    return result


def calls(rounds):
    buffer = ctypes.create_string_buffer(4096)
    for round in range(rounds):
        name = f"file-{round}".encode()
        call("stat", name, buffer)
        file = call("open", name, os.O_RDWR)
        if file >= 0:
            call("read", file, buffer, 4096)
            call("pwrite", file, b"more", 4, 0)
            call("fdatasync", file)
            call("close", file)
        call("rmdir", f"directory-{round}".encode())


def walk():
    seen = 0

    def visit(path, status, kind, place):
        nonlocal seen
        seen += 1
        return 0

    visitor = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(visit)
    call("nftw", b".", visitor, 20, 1)
    return seen


def sqlite():
    try:
        db = sqlite3.connect("signals.db", isolation_level=None)
        db.execute("create table rows (text)")
        for row in range(500):
            db.execute("insert into rows values (?)", ("x" * 5000,))
        return db.execute("select count(*) from rows").fetchone()[0]
    except sqlite3.Error as error:
        fails("sqlite", str(error))
        return 0


done = 0
if mode == "calls":
    catch(2, sys.argv[4] == "restart")
    calls(int(sys.argv[3]))
elif mode == "walk":
    catch(5, False)
    done = walk()
elif mode == "sqlite":
    catch(10, False)
    done = sqlite()
signal.setitimer(signal.ITIMER_REAL, 0)
print(json.dumps({"caught": caught, "failed": failed, "done": done}))
