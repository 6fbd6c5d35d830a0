"""The native library as a part of the package. All metadata is in setup.cfg."""

from pathlib import Path

from build_backend import native_build
from setuptools import Command, Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

native = native_build()
ROOT = Path(__file__).resolve().parent


class BuildNative(Command):
    """Compiles into the wheel; where the installation is editable, beside the sources."""

    description = "compile the native library (a failure is noted, and is none of the installation)"
    user_options = ()

    def initialize_options(self):
        self.build_lib = None
        self.editable_mode = False

    def finalize_options(self):
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self):
        failures, _ = native.build_all(native.FOLDER if self.editable_mode else self._folder())
        for name, reason in failures.items():
            self.warn(f"{name}: not built: {reason}")

    def get_source_files(self):
        return [str(path.relative_to(ROOT)) for path in native.source_files()]

    def get_outputs(self):
        return list(self._results())

    def get_output_mapping(self):
        return self._results() if self.editable_mode else {}

    def _folder(self):
        return Path(self.build_lib, native.FOLDER.relative_to(ROOT))

    def _results(self):
        """What there is after `run`: its path in the wheel -> beside the sources."""
        names = [*map(native.library_name, native.instruction_sets()), native.NOTE]
        made = native.FOLDER if self.editable_mode else self._folder()
        return {str(self._folder() / name): str(native.FOLDER / name) for name in names if (made / name).is_file()}


class Build(build):
    """setuptools' build, with the library."""

    sub_commands = [*build.sub_commands, ("build_native", None)]  # noqa: RUF012


class Wheel(bdist_wheel):
    """For one platform, but any Python: the library is loaded with ctypes."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class PlatformDistribution(Distribution):
    """Not pure Python, though it has no extension modules."""

    def has_ext_modules(self):
        return True


setup(distclass=PlatformDistribution, cmdclass={"build": Build, "build_native": BuildNative, "bdist_wheel": Wheel})
