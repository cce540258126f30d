"""The notebooks packed for students and for instructors."""
